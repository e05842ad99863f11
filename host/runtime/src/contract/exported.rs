//! An interface that a component exports, and its functions with the contract's types.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower};
use wasmtime::error::Context as _;

use crate::sandbox::Sandbox;

/// An exported interface.
pub(super) struct Exported<'a> {
    pre: &'a InstancePre<Sandbox>,
    interface: &'static str,
    index: ComponentExportIndex,
}

impl<'a> Exported<'a> {
    /// Finds `interface`, or a version of it that is compatible.
    pub(super) fn find(pre: &'a InstancePre<Sandbox>, interface: &'static str) -> wasmtime::Result<Self> {
        let index = pre
            .component()
            .get_export_index(None, interface)
            .ok_or_else(|| wasmtime::format_err!("it does not export `{interface}`"))?;
        Ok(Self { pre, interface, index })
    }

    /// The exported function `name`, found to have the contract's type. Done here, so that a wrong type is refused at
    /// install rather than called a trap at each run.
    pub(super) fn function<Params, Results>(&self, name: &str) -> wasmtime::Result<ComponentExportIndex>
    where
        Params: ComponentNamedList + Lower,
        Results: ComponentNamedList + Lift,
    {
        let interface = self.interface;
        let (item, index) = self
            .pre
            .component()
            .get_export(Some(&self.index), name)
            .ok_or_else(|| wasmtime::format_err!("its `{interface}` has no function `{name}`"))?;
        let ComponentItem::ComponentFunc(function) = item else {
            wasmtime::bail!("`{name}` in its `{interface}` is no function");
        };
        function
            .typecheck::<Params, Results>(&self.pre.instance_type())
            .with_context(|| format!("function `{name}` in its `{interface}` has another type"))?;
        Ok(index)
    }
}
