/* coatcheck.h: everything, for `#include <coatcheck/coatcheck.h>`. */
#ifndef COATCHECK_H
#define COATCHECK_H

#include "coat_version.h"
#include "coat_error.h"
#include "coat_value.h"
#include "coat_doc.h"
#include "coat_options.h"
#include "coat_store.h"
#include "coat_session.h"
#include "coat_life.h"
#include "coat_cache.h"
#include "coat_stats.h"

#endif
