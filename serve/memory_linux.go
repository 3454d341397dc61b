package serve

import (
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// systemMemory is how many bytes the process may have: those of the machine, or
// of the process's control group if that is limited to less.
func systemMemory() int64 {
	most := int64(unknownMemory)
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		most = int64(info.Totalram) * int64(info.Unit)
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return most
	}
	return min(most, groupMemory(string(groups), func(file string) string {
		text, _ := os.ReadFile(file)
		return string(text)
	}))
}

// groupMemory returns the lowest limit of a process's control groups and those
// above them. groups is /proc/self/cgroup: lines such as 0::/system.slice
// (version 2) or 7:memory:/docker/0123 (version 1).
// https://man7.org/linux/man-pages/man7/cgroups.7.html
func groupMemory(groups string, read func(file string) string) int64 {
	most := int64(unknownMemory)
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root, name := "/sys/fs/cgroup", "memory.max"
		if parts[0] != "0" {
			if parts[1] != "memory" {
				continue
			}
			root, name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		// In a container the path may be one of the host's, which is not to be
		// found; the container's own limit is then at the root.
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			if n, err := strconv.ParseInt(strings.TrimSpace(read(path.Join(root, dir, name))), 10, 64); err == nil && n > 0 {
				most = min(most, n)
			}
			if dir == "/" {
				break
			}
		}
	}
	return most
}
