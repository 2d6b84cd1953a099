//! `fold eval`: the accuracy of a saved network.

use fold_ops::ExitCode;
use fold_train::DataSet;

use crate::arguments::{Eval, Global};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(arguments: &Eval, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let outcome = fold_train::evaluate(&arguments.checkpoint, || DataSet::named(&arguments.data))?;
    if global.json {
        output.json(&outcome)?;
    } else {
        output.text(&format!(
            "accuracy {:.4} on {} held-out images ({:.4} on {} training images) after {} epochs, {} neurons\n",
            outcome.accuracy,
            outcome.test_images,
            outcome.train_accuracy,
            outcome.train_images,
            outcome.epoch,
            outcome.neurons,
        ))?;
    }
    Ok(ExitCode::Done)
}
