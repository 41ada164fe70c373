//! `mullama man`: manual pages.

use clap::CommandFactory;

use crate::cli::{Cli, Man};
use crate::error::{Error, Result};
use crate::terminal::Output;

pub(crate) fn run(args: &Man) -> Result<()> {
    let mut output = Output::lock();
    if let Some(folder) = &args.dir {
        let failed =
            |source| mullama_core::Error::File { action: "write manual pages to", path: folder.clone(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Error::Stdout)?;
        output.bytes(&page)?;
    }
    output.flush()
}
