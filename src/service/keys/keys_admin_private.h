/* One order about a data key: keys_admin.c carries it out, keys_admin_read.c reads it. */
#ifndef SERVICE_KEYS_KEYS_ADMIN_PRIVATE_H
#define SERVICE_KEYS_KEYS_ADMIN_PRIVATE_H

#include "keys/keyring.h"
#include "service/exchange.h"
#include "service/service.h"

enum keys_order_kind { ORDER_CREATE, ORDER_ROTATE, ORDER_DESTROY, ORDER_LIMITS };

struct keys_order {
    struct service *service;
    struct exchange *exchange;
    enum keys_order_kind kind;
    char name[KEY_NAME_BYTES_MAX + 1];
    unsigned suite; /* 0: not said */
    bool reencrypt, shred;
    uint32_t version;         /* to destroy; 0: the key */
    struct key_limits limits; /* where has_*: as ordered */
    bool has_records, has_bytes, has_age;
    /* What was found, or was done. */
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t active;
    uint64_t in_use;
    enum qk_err refused; /* said as the key's own trouble */
    bool done, bad_suite;
};

/* From the request's body and path into an order whose kind is set. False: answered. */
bool keys_order_read(struct keys_order *order);

#endif
