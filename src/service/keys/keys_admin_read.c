/* What a request orders about a data key. */
#include <string.h>

#include "service/clock.h"
#include "service/key_policy.h"
#include "service/keys/keys_admin_private.h"

static bool take_number(json_t *value, uint64_t max, uint64_t *ret_number)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max)
        return false;
    *ret_number = (uint64_t)json_integer_value(value);
    return true;
}

static bool take_limit(struct keys_order *order, const char *name, json_t *value)
{
    if (strcmp(name, "records") == 0)
        return order->has_records = take_number(value, INT64_MAX, &order->limits.records);
    if (strcmp(name, "bytes") == 0)
        return order->has_bytes = take_number(value, INT64_MAX, &order->limits.bytes);
    if (strcmp(name, "age_s") == 0)
        return order->has_age = take_number(value, CLOCK_TIME_S_MAX, &order->limits.age_s);
    return false;
}

static bool take_limits(struct keys_order *order, json_t *limits)
{
    const char *name;
    json_t *value;

    if (!json_is_object(limits))
        return false;
    json_object_foreach(limits, name, value)
    {
        if (!take_limit(order, name, value))
            return false;
    }
    return true;
}

static bool take_name(struct keys_order *order, struct bytes name)
{
    if (name.len > KEY_NAME_BYTES_MAX)
        return false;
    memcpy(order->name, name.data, name.len);
    order->name[name.len] = '\0';
    return strlen(order->name) == name.len;
}

static bool take(struct keys_order *order, const char *name, json_t *value)
{
    uint64_t number;

    if (order->kind == ORDER_LIMITS)
        return take_limit(order, name, value);
    if (order->kind == ORDER_CREATE && strcmp(name, "name") == 0)
        return json_is_string(value) &&
               take_name(order, bytes_of(json_string_value(value), json_string_length(value)));
    if (order->kind == ORDER_CREATE && strcmp(name, "limits") == 0)
        return take_limits(order, value);
    if (order->kind <= ORDER_ROTATE && strcmp(name, "suite") == 0) {
        order->suite =
            json_is_string(value) ? key_suite_parse(bytes_str(json_string_value(value))) : 0;
        return order->suite != 0;
    }
    if (order->kind == ORDER_ROTATE && strcmp(name, "reencrypt") == 0) {
        order->reencrypt = json_is_true(value);
        return json_is_boolean(value);
    }
    if (order->kind == ORDER_DESTROY && strcmp(name, "shred") == 0) {
        order->shred = json_is_true(value);
        return json_is_boolean(value);
    }
    if (order->kind == ORDER_DESTROY && strcmp(name, "version") == 0 &&
        take_number(value, UINT32_MAX, &number) && number > 0) {
        order->version = (uint32_t)number;
        return true;
    }
    return false;
}

static const char *const bodies[] = {
    "{\"name\": NAME, \"suite\": SUITE, \"limits\": {\"records\": N, \"bytes\": N, \"age_s\": N}}",
    "{\"suite\": SUITE, \"reencrypt\": true}",
    "{\"version\": N, \"shred\": true}; without a version the whole key is destroyed",
    "{\"records\": N, \"bytes\": N, \"age_s\": N}; 0 is the default",
};

bool keys_order_read(struct keys_order *order)
{
    struct bytes body = order->exchange->request.body;
    json_t *json =
        body.len == 0 ? json_object()
                      : json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    bool good = json_is_object(json);
    const char *name;
    json_t *value;

    json_object_foreach(json, name, value)
    {
        good = good && take(order, name, value);
    }
    json_decref(json);
    if (good && order->kind != ORDER_CREATE)
        good = take_name(order, order->exchange->request.segments[2]);
    if (!good)
        exchange_reply_error(order->exchange, 400, "bad_request",
                             "the body is %s; suites are xchacha20-poly1305 and aes-256-gcm",
                             bodies[order->kind]);
    else if (!key_limits_are_good(&order->limits)) {
        good = false;
        exchange_reply_error(order->exchange, 400, "bad_request",
                             "limits are at least %u records, %llu bytes and %u s",
                             KEY_LIMIT_RECORDS_MIN, (unsigned long long)KEY_LIMIT_BYTES_MIN,
                             KEY_LIMIT_AGE_S_MIN);
    }
    return good;
}
