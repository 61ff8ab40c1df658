//! Turns the grammar into the parser's tables.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    lalrpop::Configuration::new().use_cargo_dir_conventions().process()?;
    Ok(())
}
