// The part of WebSockets 2.6.1 (Markus Sattler) that docs/recipes/arduino.md uses.
#pragma once
#include "Arduino.h"
#include <functional>

enum WStype_t { WStype_ERROR, WStype_DISCONNECTED, WStype_CONNECTED, WStype_TEXT, WStype_BIN, WStype_PING, WStype_PONG };

class WebSocketsClient {
public:
  typedef std::function<void(WStype_t type, uint8_t *payload, size_t length)> WebSocketClientEvent;
  void begin(const char *host, uint16_t port, const char *url = "/", const char *protocol = "arduino");
  void begin(String host, uint16_t port, String url = "/", String protocol = "arduino");
  void loop();
  void onEvent(WebSocketClientEvent event);
  bool sendTXT(uint8_t *payload, size_t length = 0, bool headerToPayload = false);
  bool sendTXT(const uint8_t *payload, size_t length = 0);
  bool sendTXT(char *payload, size_t length = 0, bool headerToPayload = false);
  bool sendTXT(const char *payload, size_t length = 0);
  bool sendTXT(String &payload);
  bool sendTXT(char payload);
  void setExtraHeaders(const char *headers = nullptr);
  void setReconnectInterval(unsigned long ms);
  void enableHeartbeat(uint32_t pingInterval, uint32_t pongTimeout, uint8_t disconnectTimeoutCount);
  bool isConnected();
};
