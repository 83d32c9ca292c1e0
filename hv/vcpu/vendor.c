/* SPDX-License-Identifier: MIT */
#include "vcpu/vendor.h"
#include "lib/console.h"

struct vendor_caps vendor_caps;
const char *vendor_name;

#ifdef FACET_SVM
bool vendor_is_svm;
#endif

void vendor_init(void)
{
#ifdef FACET_SVM
    vendor_is_svm = !vmx_vendor.present() && svm_vendor.present();
    if (vendor_is_svm) {
        vendor_name = svm_vendor.name;
        svm_vendor.init(&vendor_caps);
        return;
    }
#endif
    if (!vmx_vendor.present()) {
        fatal("this processor has no VT-x and no SVM (or they are hidden): Facet needs an Intel "
              "processor with EPT, or an AMD processor with nested paging");
    }
    vendor_name = vmx_vendor.name;
    vmx_vendor.init(&vendor_caps);
}
