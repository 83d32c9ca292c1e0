/* SPDX-License-Identifier: MIT */
#include "keys.h"

#include <string.h>

#define DEVICES  "Facet has no devices for guests"
#define SCHEDULE "Facet's scheduler gives every vCPU the same"
#define HVM      "it is for HVM guests, and Facet runs PVH guests"
#define PV       "it is for PV guests, and Facet runs PVH guests"
#define ARM      "it is for Arm"
#define LIMITS   "Facet has its own limits"
#define TIME     "time is as with xl's default"
#define TOOLS    "there is no toolstack at run time"
#define BOOT     "kernel names what is booted"

/* In the order of xl.cfg(5); those for HVM guests follow. */
static const struct key keys[] = {
    {"builder", "type says what the guest is", NULL},
    {"pool", SCHEDULE, "Pool-0"},
    {"cpus_soft", SCHEDULE, "all"},
    {"cpu_weight", SCHEDULE, NULL},
    {"cap", SCHEDULE, "0"},
    {"period", SCHEDULE, NULL},
    {"slice", SCHEDULE, NULL},
    {"latency", SCHEDULE, NULL},
    {"extratime", SCHEDULE, NULL},
    {"vnuma", "Facet has no NUMA nodes for guests", NULL},
    {"firmware", BOOT, NULL},
    {"bootloader", BOOT, NULL},
    {"bootloader_args", BOOT, NULL},
    {"pvshim", PV, "0"},
    {"pvshim_path", PV, NULL},
    {"pvshim_cmdline", PV, NULL},
    {"pvshim_extra", PV, NULL},
    {"uuid", "domains have numbers and names", NULL},
    {"seclabel", "Facet has no security labels; monitor and monitors say who controls whom", NULL},
    {"init_seclabel", "Facet has no security labels; monitor and monitors say who controls whom",
     NULL},
    {"max_grant_frames", LIMITS, NULL},
    {"max_maptrack_frames", LIMITS, NULL},
    {"max_grant_version", LIMITS, NULL},
    {"max_event_channels", LIMITS, NULL},
    {"nomigrate", "no domain can be migrated", "1"},
    {"driver_domain", DEVICES, "0"},
    {"device_tree", ARM, NULL},
    {"passthrough", DEVICES, "disabled"},
    {"xend_suspend_evtchn_compat", "no domain can be suspended", NULL},
    {"vmtrace_buf_kb", "Facet has no processor trace for guests", "0"},
    {"vpmu", "Facet has no performance counters for guests", "0"},
    {"disk", DEVICES, NULL},
    {"vif", DEVICES, NULL},
    {"vif2", DEVICES, NULL},
    {"vtpm", DEVICES, NULL},
    {"p9", DEVICES, NULL},
    {"pvcalls", DEVICES, NULL},
    {"vfb", DEVICES, NULL},
    {"channel", DEVICES, NULL},
    {"rdm", DEVICES, NULL},
    {"usbctrl", DEVICES, NULL},
    {"usbdev", DEVICES, NULL},
    {"pci", DEVICES, NULL},
    {"pci_permissive", DEVICES, "0"},
    {"pci_msitranslate", DEVICES, NULL},
    {"pci_seize", DEVICES, "0"},
    {"pci_power_mgmt", DEVICES, "0"},
    {"dtdev", DEVICES, NULL},
    {"ioports", DEVICES, NULL},
    {"iomem", DEVICES, NULL},
    {"irqs", DEVICES, NULL},
    {"vdispl", DEVICES, NULL},
    {"vsnd", DEVICES, NULL},
    {"vkb", DEVICES, NULL},
    {"keymap", DEVICES, NULL},
    {"tee", ARM, "none"},
    {"gic_version", ARM, "default"},
    {"vuart", ARM, NULL},
    {"e820_host", PV, "0"},
    {"hap", "Facet always uses the processor's nested tables", "1"},
    {"oos", "Facet always uses the processor's nested tables", NULL},
    {"nestedhvm", "Facet's guests cannot be hypervisors", "0"},
    {"cpuid", "Facet decides what CPUID says", NULL},
    {"msr_relaxed", "Facet decides which MSRs there are", "0"},
    {"tsc_mode", TIME, "default"},
    {"timer_mode", TIME, "no_delay_for_missed_ticks"},
    {"localtime", TIME, "0"},
    {"rtc_timeoffset", TIME, "0"},
    {"vncviewer", TOOLS, "0"},
    {"acpi", "a PVH guest has ACPI tables", "1"},

    {"boot", HVM, NULL},
    {"hdtype", HVM, NULL},
    {"bios", HVM, NULL},
    {"bios_path_override", HVM, NULL},
    {"firmware_override", HVM, NULL},
    {"pae", HVM, NULL},
    {"acpi_s3", HVM, NULL},
    {"acpi_s4", HVM, NULL},
    {"acpi_laptop_slate", HVM, NULL},
    {"apic", HVM, NULL},
    {"nx", HVM, NULL},
    {"hpet", HVM, NULL},
    {"acpi_firmware", HVM, NULL},
    {"smbios_firmware", HVM, NULL},
    {"ms_vm_genid", HVM, "none"},
    {"vpt_align", HVM, NULL},
    {"mmio_hole", HVM, NULL},
    {"xen_platform_pci", HVM, "0"},
    {"viridian", HVM, "0"},
    {"videoram", HVM, NULL},
    {"stdvga", HVM, "0"},
    {"vga", HVM, "none"},
    {"vnc", HVM, "0"},
    {"vnclisten", HVM, NULL},
    {"vncdisplay", HVM, NULL},
    {"vncunused", HVM, NULL},
    {"vncpasswd", HVM, NULL},
    {"sdl", HVM, "0"},
    {"opengl", HVM, "0"},
    {"nographic", HVM, NULL},
    {"spice", HVM, "0"},
    {"spicehost", HVM, NULL},
    {"spiceport", HVM, NULL},
    {"spicetls_port", HVM, NULL},
    {"spicedisable_ticketing", HVM, NULL},
    {"spicepasswd", HVM, NULL},
    {"spiceagent_mouse", HVM, NULL},
    {"spicevdagent", HVM, NULL},
    {"spice_clipboard_sharing", HVM, NULL},
    {"spiceusbredirection", HVM, NULL},
    {"spice_image_compression", HVM, NULL},
    {"spice_streaming_video", HVM, NULL},
    {"gfx_passthru", HVM, "0"},
    {"rdm_mem_boundary", HVM, NULL},
    {"serial", HVM, NULL},
    {"soundhw", HVM, NULL},
    {"vkb_device", HVM, NULL},
    {"usb", HVM, "0"},
    {"usbversion", HVM, NULL},
    {"usbdevice", HVM, NULL},
    {"vendor_device", HVM, "none"},
    {"mca_caps", HVM, NULL},
    {"dm_restrict", HVM, "0"},
    {"device_model", HVM, NULL},
    {"device_model_user", HVM, NULL},
    {"device_model_version", HVM, NULL},
    {"device_model_override", HVM, NULL},
    {"device_model_args", HVM, NULL},
    {"device_model_args_pv", HVM, NULL},
    {"device_model_args_hvm", HVM, NULL},
    {"device_model_stubdomain_override", HVM, "0"},
    {"device_model_stubdomain_seclabel", HVM, NULL},
    {"stubdomain_kernel", HVM, NULL},
    {"stubdomain_ramdisk", HVM, NULL},
    {"stubdomain_cmdline", HVM, NULL},
    {"stubdomain_memory", HVM, NULL},
};

const struct key *key_find(const char *name)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (!strcmp(keys[i].name, name))
            return &keys[i];
    return NULL;
}

bool key_asks(const struct key *key, const struct xlcfg_value *value)
{
    if (value->type == XLCFG_LIST)
        return value->count > 0;
    return *value->string && (!key->quiet || strcmp(value->string, key->quiet) != 0);
}
