/* SPDX-License-Identifier: MIT */
#include "vcpu/vendor.h"
#include "lib/console.h"

struct vendor_caps vendor_caps;
const char *vendor_name;

#ifdef FACET_SVM
bool vendor_is_svm;
#endif

void vendor_choose(void)
{
    bool intel = vmx_vendor.present();

    vendor_name = vmx_vendor.name;
#ifdef FACET_SVM
    vendor_is_svm = !intel && svm_vendor.present();
    if (vendor_is_svm) {
        vendor_name = svm_vendor.name;
        return;
    }
#endif
    if (!intel) {
        fatal("this processor has no VT-x and no SVM (or they are hidden): Facet needs an Intel "
              "processor with EPT, or an AMD processor with nested paging");
    }
}

void vendor_init(void)
{
    VENDOR(init, &vendor_caps);
}

bool vendor_start(void)
{
    return VENDOR(present) && VENDOR(init, NULL);
}
