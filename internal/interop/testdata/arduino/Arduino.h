// What docs/recipes/arduino.md uses of Espressif's Arduino core, to check types with.
// Declarations only: the sketch is compiled and not linked.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstring>

constexpr uint8_t LOW = 0, HIGH = 1, OUTPUT = 3;

void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t value);
uint16_t analogRead(uint8_t pin);
void delay(uint32_t ms);
unsigned long millis();

class String {
public:
  String(const char *text = "");
};

struct HardwareSerial {
  void begin(unsigned long baud);
  size_t printf(const char *format, ...) __attribute__((format(printf, 2, 3)));
  size_t println(const char *text);
};
extern HardwareSerial Serial;

void setup();
void loop();
