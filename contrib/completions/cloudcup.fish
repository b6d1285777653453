complete -c cloudcup -l config -d 'Configuration file, the same as CONFIG' -r -F
complete -c cloudcup -l workers -d 'Number of worker processes [default: from the configuration, else one per usable CPU]' -r
complete -c cloudcup -l log-target -d 'Where life-cycle records go' -r -f -a "auto\t'The journal when standard error is connected to it, else standard error'
journal\t'The journal, with native fields'
stderr\t'Standard error, one line each'"
complete -c cloudcup -l log-level -d 'How much is logged [default: from the configuration, else info]' -r -f -a "off\t'Nothing'
error\t'What needs an operator'
warn\t'What may need one'
info\t'Life-cycle events'
debug\t'Details of decisions'
trace\t'Everything'"
complete -c cloudcup -l control -d 'Control socket for cupctl [default: in the service\'s runtime directory]' -r -F
complete -c cloudcup -l compat-socket -d 'Also serve the control protocol of the first Cloud Cup at this socket' -r -F
complete -c cloudcup -l demo -d 'Show the proxy at work: two embedded backends behind 127.0.0.1:8080 or the next free port'
complete -c cloudcup -l check -d 'Check the configuration, print every problem, and exit with 0 (valid) or 1'
complete -c cloudcup -l schema -d 'Print the JSON Schema of the configuration and exit'
complete -c cloudcup -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cloudcup -s V -l version -d 'Print version'
