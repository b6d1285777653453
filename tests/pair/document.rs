//! `docs/http1.md` lists every offence; the list is written by the code.
//! `UPDATE_GOLDEN=1 cargo test --test pair` writes it anew.

use cloudcup::proto::h1::{Offence, Role};

const BEGIN: &str = "<!-- written by tests/pair/document.rs -->\n";
const END: &str = "<!-- end -->\n";

fn table() -> String {
    let mut table = String::from("| word | status | what the peer did |\n|---|---|---|\n");
    for offence in Offence::ALL {
        let (label, status) = (offence.label(), offence.status(Role::Server));
        let meaning = offence.meaning().trim();
        table += &format!("| `{label}` | {status} | {meaning} |\n");
    }
    table
}

#[test]
fn the_document_lists_every_offence() {
    let path = format!("{}/docs/http1.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the document");
    let (before, rest) = text.split_once(BEGIN).expect("the beginning of the table");
    let (found, after) = rest.split_once(END).expect("the end of the table");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, [before, BEGIN, &table(), END, after].concat()).expect("written");
        return;
    }
    assert_eq!(found, table(), "UPDATE_GOLDEN=1 writes it anew");
}
