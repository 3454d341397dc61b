package serve

import "testing"

// TestGroupMemory: the lowest limit on the way to the root counts.
func TestGroupMemory(t *testing.T) {
	for _, test := range []struct {
		name   string
		groups string
		files  map[string]string
		want   int64
	}{
		{"no group", "", nil, unknownMemory},
		{"no limit", "0::/user.slice\n", map[string]string{"/sys/fs/cgroup/user.slice/memory.max": "max\n"}, unknownMemory},
		{"a limit", "0::/user.slice\n", map[string]string{"/sys/fs/cgroup/user.slice/memory.max": "1000\n"}, 1000},
		{"a lower one above", "0::/a/b\n", map[string]string{"/sys/fs/cgroup/a/b/memory.max": "1000\n", "/sys/fs/cgroup/a/memory.max": "500\n"}, 500},
		{"in a container", "0::/../../docker/x\n", map[string]string{"/sys/fs/cgroup/memory.max": "700\n"}, 700},
		{"version 1", "9:cpu,cpuacct:/\n7:memory:/docker/x\n", map[string]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes": "800\n"}, 800},
		{"version 1 without a limit", "7:memory:/\n", map[string]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 9223372036854771712},
		{"nonsense", "x\n0::\n", map[string]string{"/sys/fs/cgroup/memory.max": "many"}, unknownMemory},
	} {
		got := groupMemory(test.groups, func(file string) string { return test.files[file] })
		if got != test.want {
			t.Errorf("%s: %d bytes, want %d", test.name, got, test.want)
		}
	}
	if n := defaultMemory(); n < 1<<20 || n > mostMemory {
		t.Errorf("by default %d bytes", n)
	}
}
