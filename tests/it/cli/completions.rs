//! `br completions`.

use super::Session;

#[test]
fn every_shell_gets_a_script() {
    let session = Session::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = session.run(["completions", shell]).expect(0);
        assert!(
            output.stdout.contains("restore") && output.stderr.is_empty(),
            "{shell}"
        );
    }
    session.run(["completions", "cobol"]).expect(2);
}
