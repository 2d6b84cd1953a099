//! `fold completions` and `fold man`: what clap derives from the arguments.

use clap::CommandFactory as _;
use fold_ops::ExitCode;

use crate::arguments::{Arguments, Completions, Global};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn completions(arguments: &Completions, _global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let mut command = Arguments::command();
    command.set_bin_name("fold");
    command.build();
    let mut text = Vec::new();
    clap_complete::Generator::try_generate(&arguments.shell, &command, &mut text).map_err(Failure::Output)?;
    output.text(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::Done)
}

/// One page with every command: a manual that can be read from start to end, `fold man | man -l -`.
pub(crate) fn man(_global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let mut command = Arguments::command();
    command.build();
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.clone());
    page.render(&mut text).map_err(Failure::Output)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let page = clap_mangen::Man::new(sub.clone());
        let rendered = page
            .render_name_section(&mut text)
            .and_then(|()| page.render_synopsis_section(&mut text))
            .and_then(|()| page.render_description_section(&mut text))
            .and_then(|()| page.render_options_section(&mut text));
        rendered.map_err(Failure::Output)?;
    }
    output.text(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::Done)
}
