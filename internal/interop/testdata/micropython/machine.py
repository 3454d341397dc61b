"""What docs/recipes/micropython.md uses of a board: a lamp that is a line of the output."""


class Pin:
    OUT = 1

    def __init__(self, number, mode=None):
        self.number = number

    def value(self, on):
        print("lamp", on, flush=True)


class ADC:
    def __init__(self, pin):
        self.pin = pin

    def read_u16(self):
        return 1000 * self.pin.number
