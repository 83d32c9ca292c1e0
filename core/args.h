/* SPDX-License-Identifier: MIT */
#pragma once

/* subop_arg_NAME: the type of each sub-operation's argument (fields.h). */
#include "abi.h"
#include <facet/hvmop.h>

#define ARGUMENT(name, type) typedef type subop_arg_##name;
#include "fields.h"
