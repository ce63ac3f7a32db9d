//! What draws the window: a graphics device, or where there is none the processor.

use eframe::Renderer;
use eframe::wgpu::{Adapter, Backends, DeviceType, Instance, InstanceDescriptor};

/// How the window is drawn, and the name of the processor's renderer where there is no graphics device.
///
/// Mesa's processor renderers carry out both sides of every condition in a shader. wgpu's shader has one for tests that reads each
/// pixel four times more; OpenGL's has none and takes a fraction of the time.
pub(crate) fn find() -> (Renderer, Option<String>) {
    let instance = Instance::new(InstanceDescriptor::new_without_display_handle_from_env());
    let adapters = |of| pollster::block_on(instance.enumerate_adapters(of));
    let is_device = |adapter: &Adapter| adapter.get_info().device_type != DeviceType::Cpu;
    let primary = adapters(Backends::PRIMARY);
    if primary.iter().any(is_device) {
        return (Renderer::Wgpu, None);
    }
    let secondary = adapters(Backends::SECONDARY);
    if secondary.iter().any(is_device) {
        return (Renderer::Glow, None);
    }
    let name = primary.iter().chain(&secondary).next().map(|adapter| adapter.get_info().name);
    (Renderer::Glow, Some(name.unwrap_or_else(|| "OpenGL".into())))
}
