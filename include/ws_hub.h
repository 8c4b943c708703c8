/** @file ws_hub.h  Everything, in reading order. */
#ifndef WS_HUB_H
#define WS_HUB_H

#include <ws_hub/export.h>
#include <ws_hub/version.h>
#include <ws_hub/error.h>
#include <ws_hub/conn.h>
#include <ws_hub/options.h>
#include <ws_hub/hub.h>
#include <ws_hub/metrics.h>
#include <ws_hub/loop.h>
#include <ws_hub/broker.h>
#include <ws_hub/backoff.h>
#include <ws_hub/fault.h>

#endif
