//! Rules: the built-in ones, the uploader's, and what they compile to.

use boreal::compiler::{CompilerBuilder, CompilerParams};
use boreal::module::{Console, Dex, Dotnet, Elf, Hash, MachO, Math, Pe, String_};
use boreal::{Compiler, Scanner};
use filemill_engine::{Failure, PARAMETERS_MAX_BYTES};

/// The most text of rules that is compiled, in bytes: all that parameters hold, beside the other ones.
pub(crate) const RULES_BYTES: usize = PARAMETERS_MAX_BYTES - 1024;

/// How deep a condition may be nested. Compiling and evaluating it recurses; the stack that `build.rs` asks for holds it.
const CONDITION_DEPTH: u32 = 40;

/// The namespaces: whose rules they are.
pub(crate) const BUILT_IN: &str = "built-in";
const UPLOADED: &str = "rules";

/// The rules that come with the engine, by file.
const FILES: [(&str, &str); 5] = [
    ("document.yar", include_str!("../rules/document.yar")),
    ("executable.yar", include_str!("../rules/executable.yar")),
    ("script.yar", include_str!("../rules/script.yar")),
    ("secret.yar", include_str!("../rules/secret.yar")),
    ("test-file.yar", include_str!("../rules/test-file.yar")),
];

/// Compiles the built-in rules if `built_in`, and the uploader's.
///
/// # Errors
///
/// [`Failure::Failed`], which says where the uploader's rules are wrong: `rules:LINE:COLUMN: error: …`.
pub(crate) fn compile(built_in: bool, uploaded: Option<&str>) -> Result<Scanner, Failure> {
    let mut compiler = compiler();
    if built_in {
        for (file, text) in FILES {
            add(&mut compiler, file, text, BUILT_IN)?;
        }
    }
    if let Some(text) = uploaded {
        if text.len() > RULES_BYTES {
            return Err(Failure::failed(format!("the rules are longer than {RULES_BYTES} bytes")));
        }
        // The parser wants a line to end after a comment, and a text from a command line ends without one.
        add(&mut compiler, "rules", &format!("{text}\n"), UPLOADED)?;
    }
    Ok(compiler.finalize())
}

/// A compiler without the module `time`: an engine has no clock. `console` says nothing.
fn compiler() -> Compiler {
    let mut compiler = CompilerBuilder::default()
        .add_module(Console::with_callback(|_| {}))
        .add_module(Dex)
        .add_module(Dotnet)
        .add_module(Elf)
        .add_module(Hash)
        .add_module(MachO)
        .add_module(Math)
        .add_module(Pe)
        .add_module(String_)
        .build();
    compiler.set_params(CompilerParams::default().disable_includes(true).max_condition_depth(CONDITION_DEPTH));
    compiler
}

fn add(compiler: &mut Compiler, file: &str, text: &str, namespace: &str) -> Result<(), Failure> {
    compiler.add_rules_str_in_namespace(text, namespace).map_err(|error| {
        let text = error.to_string();
        // The compiler calls what came from no file so.
        Failure::failed(format!("{file}:{}", text.strip_prefix("mem:").unwrap_or(&text)))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_compile_and_say_what_they_are() {
        let scanner = compile(true, None).expect("sound");
        let mut count = 0;
        for rule in scanner.rules() {
            count += 1;
            let names: Vec<_> = rule.metadatas.iter().map(|meta| scanner.get_string_symbol(meta.name)).collect();
            assert_eq!(names, ["description", "severity", "reference"], "{}", rule.name);
        }
        assert_eq!(count, 14);
    }

    #[test]
    fn an_error_says_where_it_is() {
        let wrong = "rule a {\n  condition:\n    $missing\n}\n";
        let error = compile(false, Some(wrong)).expect_err("refused");
        assert_eq!(error.sentence(), "rules:3:5: error: unknown variable $missing");
        let error = compile(false, Some("rule {")).expect_err("refused");
        assert!(error.sentence().starts_with("rules:1:6: error: "), "{error:?}");
    }

    #[test]
    fn rules_may_end_with_a_comment_without_a_line_feed() {
        compile(false, Some("rule b { condition: true } // x")).expect("sound");
    }

    #[test]
    fn there_is_no_clock_and_no_other_file() {
        for (wrong, what) in
            [("import \"time\"\nrule a { condition: time.now() > 0 }", "time"), ("include \"/etc/passwd\"", "include")]
        {
            let error = compile(false, Some(wrong)).expect_err("refused");
            assert!(error.sentence().contains(what), "{error:?}");
        }
    }

    #[test]
    fn nested_conditions_are_refused_before_the_stack_ends() {
        let deep = format!("rule a {{ condition: {}true{} }}", "(not ".repeat(5_000), ")".repeat(5_000));
        assert!(compile(false, Some(&deep)).is_err());
        let deep = format!("rule a {{ strings: $a = /{}a{}/ condition: $a }}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(compile(false, Some(&deep)).is_err());
    }
}
