/* coat_version.h: the version, written here and nowhere else (configure and pip read this file). */
#ifndef COAT_VERSION_H
#define COAT_VERSION_H

#define COAT_VERSION_MAJOR 0
#define COAT_VERSION_MINOR 1
#define COAT_VERSION_PATCH 0
#define COAT_VERSION       "0.1.0"

/* 0.1.0 is 0x000100; for comparing in the preprocessor. */
#define COAT_VERSION_NUMBER                                                                        \
    (COAT_VERSION_MAJOR * 0x10000 + COAT_VERSION_MINOR * 0x100 + COAT_VERSION_PATCH)

#endif
