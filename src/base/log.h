/* The one log sink: a line a message to stderr, `TIME LEVEL module: text`. Never a secret, never
 * a document's body; ids and names only. Control bytes in the text are escaped, so that nothing
 * from outside can forge a line. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);
void log_line(enum log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(module, ...) log_line(LOG_DEBUG, module, __VA_ARGS__)
#define log_info(module, ...) log_line(LOG_INFO, module, __VA_ARGS__)
#define log_warn(module, ...) log_line(LOG_WARN, module, __VA_ARGS__)
#define log_error(module, ...) log_line(LOG_ERROR, module, __VA_ARGS__)

#endif
