package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A size is a number of bytes. It is written as one, or with a unit: 4MiB.
// It implements pflag.Value.
type size int

// units are those of IEC 80000-13, the largest first.
var units = []struct {
	name  string
	bytes size
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func (s *size) String() string {
	for _, u := range units {
		if *s >= u.bytes && *s%u.bytes == 0 {
			return strconv.Itoa(int(*s/u.bytes)) + u.name
		}
	}
	return strconv.Itoa(int(*s))
}

func (s *size) Type() string { return "SIZE" }

func (s *size) Set(value string) error {
	number, unit := value, size(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(value, u.name); ok {
			number, unit = n, u.bytes
		}
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n > math.MaxInt/int(unit) {
		return fmt.Errorf("want a number of bytes, such as 4MiB, 512KiB or 1000")
	}
	*s = size(n) * unit
	return nil
}
