/** @file export.h  Visibility of the public symbols. */
#ifndef WS_HUB_EXPORT_H
#define WS_HUB_EXPORT_H

#if defined(__GNUC__)
#define WS_HUB_API __attribute__((visibility("default")))
#else
#define WS_HUB_API
#endif

#endif
