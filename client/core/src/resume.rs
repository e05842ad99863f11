//! Going on with what earlier programs began.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::context::{Context, Work};
use crate::driver::{Driver, Kind};
use crate::engines::Wanted;
use crate::error::Error;

impl Context {
    /// Goes on with everything that earlier programs of this home began and did not finish, and returns when each file
    /// has its last word.
    ///
    /// # Errors
    ///
    /// What concerns all files. [`Error::Stopped`] if the activity was stopped.
    pub(crate) async fn resume(&self) -> Result<(), Error> {
        // Each file goes to the release that it was sent for: nothing is chosen.
        let recipe = self.recipe(&Wanted::Auto, false).await?;
        let shared = self.shared(&recipe, Work::default());
        let mut driver = Driver::open(Arc::clone(&shared), Kind::Resume, recipe, Arc::clone(&self.recipes)).await?;
        self.take_over(&shared, &mut driver).await?;
        let (met, found) = mpsc::channel(1);
        drop(met);
        driver.run(found).await
    }
}
