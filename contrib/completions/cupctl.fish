# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_cupctl_global_optspecs
    string join \n json address= user no-pager h/help V/version
end

function __fish_cupctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_cupctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_cupctl_using_subcommand
    set -l cmd (__fish_cupctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c cupctl -n "__fish_cupctl_needs_command" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_needs_command" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_needs_command" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_needs_command" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_needs_command" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_needs_command" -s V -l version -d 'Print version'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "status" -d 'Show how the service is; exits 1 when it is not fully well'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "show" -d 'Show one thing in full'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "why" -d 'Explain which way a request takes through routes and pools'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "check" -d 'Probe backends now; exits 1 when one is unhealthy'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "events" -d 'Print what happens, as it happens'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "top" -d 'Watch traffic, workers and backends'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "metrics" -d 'Print all metrics as OpenMetrics text'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "logs" -d 'Print the journal of the service'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "validate" -d 'Check a document and print every problem'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "plan" -d 'Show what applying a document would change'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "apply" -d 'Apply a document over all workers, all or none'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "reload" -d 'Read the configuration file again and apply it'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "log-level" -d 'Set the log filter until the next start'
complete -c cupctl -n "__fish_cupctl_needs_command" -f -a "stop" -d 'Stop the service: drain first'
complete -c cupctl -n "__fish_cupctl_using_subcommand status" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand status" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand status" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand status" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand status" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -f -a "status" -d 'As `cupctl status`'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -f -a "config" -d 'The document as applied'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -f -a "backends" -d 'Pools and backends with their state'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -f -a "routes" -d 'Routes and what they do'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -f -a "connections" -d 'Connections of clients'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -f -a "traffic" -d 'Counters by route, pool and worker'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and not __fish_seen_subcommand_from status config backends routes connections traffic errors" -f -a "errors" -d 'Counters of faults, refusals and limits'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from status" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from status" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from status" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from status" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from config" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from config" -l effective -d 'Write out every default'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from config" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from config" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from config" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from config" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from backends" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from backends" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from backends" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from backends" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from backends" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from routes" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from routes" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from routes" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from routes" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from routes" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from connections" -s n -l limit -d 'Most connections to show' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from connections" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from connections" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from connections" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from connections" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from connections" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from traffic" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from traffic" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from traffic" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from traffic" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from traffic" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from errors" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from errors" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from errors" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from errors" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand show; and __fish_seen_subcommand_from errors" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand why" -s H -l header -d 'A header of the request' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand why" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand why" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand why" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand why" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand why" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand check" -s r -l routes -d 'Only backends of these routes' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand check" -s b -l backends -d 'Only these backends' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand check" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand check" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand check" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand check" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand check" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand events" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand events" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand events" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand events" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand events" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand top" -s i -l interval -d 'Seconds between two looks' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand top" -s n -l count -d 'End after this many looks' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand top" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand top" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand top" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand top" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand top" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand metrics" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand metrics" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand metrics" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand metrics" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand metrics" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand logs" -l route -d 'Only access records of this route' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand logs" -l status -d 'Only access records with this status' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand logs" -s n -l lines -d 'Only the last N records' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand logs" -s S -l since -d 'Only records since this time (as journalctl reads it)' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand logs" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand logs" -s f -l follow -d 'Go on with new records'
complete -c cupctl -n "__fish_cupctl_using_subcommand logs" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand logs" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand logs" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand logs" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand validate" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand validate" -l offline -d 'Check it here, without asking the service'
complete -c cupctl -n "__fish_cupctl_using_subcommand validate" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand validate" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand validate" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand validate" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand plan" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand plan" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand plan" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand plan" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand plan" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand apply" -s f -l file -d 'The document, as an option' -r -F
complete -c cupctl -n "__fish_cupctl_using_subcommand apply" -l expected-serial -d 'Refuse unless this serial runs' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand apply" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand apply" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand apply" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand apply" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand apply" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand reload" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand reload" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand reload" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand reload" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand reload" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand log-level" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand log-level" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand log-level" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand log-level" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand log-level" -s h -l help -d 'Print help'
complete -c cupctl -n "__fish_cupctl_using_subcommand stop" -l address -d 'Where the service is: unix:PATH of a control socket, "system", "user", or the address of a bus [default: the control socket where it may be opened, else the bus]' -r
complete -c cupctl -n "__fish_cupctl_using_subcommand stop" -l hard -d 'Close everything at once'
complete -c cupctl -n "__fish_cupctl_using_subcommand stop" -l json -d 'Print JSON for machines'
complete -c cupctl -n "__fish_cupctl_using_subcommand stop" -l user -d 'Talk to the service of the calling user'
complete -c cupctl -n "__fish_cupctl_using_subcommand stop" -l no-pager -d 'Do not pipe long output into a pager'
complete -c cupctl -n "__fish_cupctl_using_subcommand stop" -s h -l help -d 'Print help'
