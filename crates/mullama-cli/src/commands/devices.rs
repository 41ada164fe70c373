//! `mullama devices`: what models can run on.

use mullama_core::{Device, DeviceKind, devices, system_info};
use serde_json::json;

use crate::cli::Devices;
use crate::error::Result;
use crate::terminal::{Output, Ui, human_bytes};

pub(crate) fn run(args: &Devices, ui: &Ui) -> Result<()> {
    let devices = devices();
    let mut output = Output::lock();
    if args.json {
        let list: Vec<_> = devices
            .iter()
            .map(|device| {
                json!({
                    "name": device.name,
                    "kind": kind(device.kind),
                    "description": device.description,
                    "memory_free": device.memory_free,
                    "memory_total": device.memory_total,
                })
            })
            .collect();
        output.json(&json!({ "devices": list, "system_info": system_info() }))?;
        return output.flush();
    }
    let row = |device: &Device| {
        let memory = |bytes| if device.memory_total == 0 { "?".to_owned() } else { human_bytes(bytes) };
        let (free, total) = (memory(device.memory_free), memory(device.memory_total));
        vec![device.name.clone(), kind(device.kind).to_owned(), free, total, device.description.clone()]
    };
    let rows: Vec<_> = devices.iter().map(row).collect();
    output.table(&["name", "kind", "free", "memory", "description"], &[2, 3], &rows)?;
    if ui.verbose > 0 {
        output.line(&system_info())?;
    }
    output.flush()
}

fn kind(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Cpu => "cpu",
        DeviceKind::Gpu => "gpu",
        DeviceKind::IntegratedGpu => "integrated-gpu",
        DeviceKind::Accelerator => "accelerator",
        DeviceKind::Meta => "meta",
        _ => "other",
    }
}
