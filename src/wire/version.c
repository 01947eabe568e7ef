/* Apart from command.c, so that a test of upgrades can link a program that knows more. */
#include "wire/version.h"

#include <stddef.h>

#include "wire/command.h"

static const uint8_t kinds[] = {
    [WIRE_WRITE] = 1, [WIRE_DEAL] = 1,       [WIRE_DEAL_FINAL] = 1, [WIRE_MEMBER] = 1,
    [WIRE_TOKEN] = 1, [WIRE_KEYRING] = 1,    [WIRE_HOLD] = 1,       [WIRE_TICK] = 1,
    [WIRE_AUDIT] = 1, [WIRE_DEAL_BEGIN] = 1,
};

unsigned wire_version(void)
{
    return 1;
}

unsigned wire_kind_version(uint64_t kind)
{
    return kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[kind] : 0;
}
