/* What stands in a heap before anything of a design document does: JavaScript (script_engine.h). */
#ifndef NODE_SCRIPT_PRELUDE_H
#define NODE_SCRIPT_PRELUDE_H

/* One expression in two parts: a compiler need not take longer texts. */
extern const char SCRIPT_PRELUDE_TOOLS[];
extern const char SCRIPT_PRELUDE_CALLS[];

#endif
