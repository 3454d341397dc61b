#pragma once
#include "Arduino.h"

enum wl_status_t { WL_IDLE_STATUS = 0, WL_CONNECTED = 3, WL_DISCONNECTED = 6 };

struct WiFiClass {
  wl_status_t begin(const char *network, const char *password = nullptr);
  wl_status_t status();
};
extern WiFiClass WiFi;
