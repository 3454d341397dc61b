package main

import "testing"

func TestSize(t *testing.T) {
	for text, want := range map[string]size{"0": 0, "1000": 1000, "1KiB": 1024, "4MiB": 4 << 20, "2GiB": 2 << 30, "1536KiB": 1536 << 10} {
		var s size
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "-1", "4M", "4 MiB", "1.5GiB", "KiB", "99999999999999999999", "9999999999999GiB"} {
		var s size
		if err := s.Set(text); err == nil {
			t.Errorf("%q is taken for %d bytes", text, s)
		}
	}
	for _, s := range []size{0, 1000, 1 << 10, 3 << 19, 128 << 10, 4 << 20, 1 << 30} {
		var again size
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%d is written as %s, and read as %d, %v", int(s), &s, int(again), err)
		}
	}
}
