#include "cli/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"

#define DEPTH_MAX 4
#define COLUMNS_MAX 16
#define CELL_BYTES_MAX 8192
#define NAME_WIDTH 22

void print_clean(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        buf_put_u8(out, c < 0x20 || c == 0x7f ? '?' : c);
    }
}

void print_json(const json_t *json, unsigned indent)
{
    size_t flags = JSON_ENCODE_ANY | (indent > 0 ? JSON_INDENT(indent) : JSON_COMPACT);

    (void)json_dumpf(json, stdout, flags);
    (void)fputc('\n', stdout);
}

void print_free(char *text)
{
    json_free_t release;

    json_get_alloc_funcs(NULL, &release);
    release(text);
}

void print_time(uint64_t time_s, char ret_text[static PRINT_TIME_BYTES])
{
    time_t when = (time_t)time_s;
    struct tm utc;

    ret_text[0] = '\0';
    if (gmtime_r(&when, &utc) != NULL)
        (void)strftime(ret_text, PRINT_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

void print_value(struct buf *out, const json_t *value)
{
    if (json_is_string(value)) {
        print_clean(out, json_string_value(value));
    } else if (value != NULL) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

        if (text != NULL)
            print_clean(out, text);
        print_free(text);
    }
}

static bool is_table(const json_t *value)
{
    return json_is_array(value) && json_array_size(value) > 0 &&
           json_is_object(json_array_get(value, 0));
}

static void print_line(const char *prefix, const char *name, const json_t *value)
{
    struct buf text = BUF_INIT(CELL_BYTES_MAX);
    struct buf label = BUF_INIT(CELL_BYTES_MAX);

    print_clean(&label, prefix);
    print_clean(&label, name);
    buf_put_u8(&label, ':');
    print_value(&text, value);
    printf("%-*.*s %.*s\n", NAME_WIDTH, (int)label.len, (const char *)label.data, (int)text.len,
           text.len == 0 ? "" : (const char *)text.data);
    buf_fini(&text);
    buf_fini(&label);
}

static void print_level(const char *prefix, const json_t *object, unsigned depth)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (json_is_object(value) && depth < DEPTH_MAX) {
            struct buf inner = BUF_INIT(CELL_BYTES_MAX);

            buf_printf(&inner, "%s%s.", prefix, name);
            buf_put_u8(&inner, 0);
            if (buf_error(&inner) == QK_OK)
                print_level((const char *)inner.data, value, depth + 1);
            buf_fini(&inner);
        } else if (is_table(value)) {
            printf("%s%s:\n", prefix, name);
            print_table(value);
        } else {
            print_line(prefix, name, value);
        }
    }
}

void print_object(const json_t *object)
{
    print_level("", object, 0);
}

static size_t cell_width(const json_t *value)
{
    struct buf text = BUF_INIT(CELL_BYTES_MAX);
    size_t width;

    print_value(&text, value);
    width = text.len;
    buf_fini(&text);
    return width;
}

static void print_cell(const json_t *value, size_t width)
{
    struct buf text = BUF_INIT(CELL_BYTES_MAX);

    print_value(&text, value);
    printf("  %-*.*s", (int)width, (int)text.len, text.len == 0 ? "" : (const char *)text.data);
    buf_fini(&text);
}

void print_table(const json_t *rows)
{
    const char *names[COLUMNS_MAX];
    size_t widths[COLUMNS_MAX];
    unsigned n = 0;
    const char *name;
    json_t *value, *row;
    size_t i;

    json_object_foreach(json_array_get(rows, 0), name, value)
    {
        if (n < COLUMNS_MAX)
            names[n++] = name;
    }
    for (unsigned column = 0; column < n; column++) {
        widths[column] = strlen(names[column]);
        json_array_foreach(rows, i, row)
        {
            size_t width = cell_width(json_object_get(row, names[column]));

            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
    for (unsigned column = 0; column < n; column++)
        printf("  %-*s", (int)widths[column], names[column]);
    printf("\n");
    json_array_foreach(rows, i, row)
    {
        for (unsigned column = 0; column < n; column++)
            print_cell(json_object_get(row, names[column]), widths[column]);
        printf("\n");
    }
}
