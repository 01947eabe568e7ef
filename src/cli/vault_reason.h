/* What a refusal in Vault's shape says, for people. */
#ifndef CLI_VAULT_REASON_H
#define CLI_VAULT_REASON_H

#include "cli/cli.h"

#define VAULT_REASON_BYTES 1024

/* Writes the reason and gives the exit code, `code` unless the reason says more. Nothing is written
 * if the reply has not that shape. */
enum cli_exit vault_reason(const json_t *reply, int status, enum cli_exit code,
                           char ret_reason[static VAULT_REASON_BYTES]);

#endif
