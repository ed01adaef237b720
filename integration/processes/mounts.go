package processes

import (
	"path/filepath"
	"strings"
)

// maxDifferent is the most mounts that a server may have of its own. With more of them,
// none of its files is read.
const maxDifferent = 256

// place is where a file is, however it is mounted.
type place struct{ device, path string }

// mounts are what is mounted where.
type mounts map[string]place

// view is what a process sees of the files that this process sees.
type view struct {
	nothing   bool     // it has another root directory
	different []string // at and below these it may see others
}

// mounts returns those of a process: none if it has ended, or if nothing is mounted at its
// root directory.
func (h *Procfs) mounts(pid string) mounts {
	text, err := h.read(pid, "mountinfo", maxText)
	if err != nil || len(text) == maxText {
		return nil
	}
	return parseMounts(text)
}

// parseMounts reads the lines of /proc/PID/mountinfo: the number of the mount, that of its
// parent, major:minor of the device, the directory on that, where it is mounted. The last
// one hides those before.
func parseMounts(text string) mounts {
	m := make(mounts)
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 4 {
			m[unescape.Replace(fields[4])] = place{fields[2], unescape.Replace(fields[3])}
		}
	}
	return m
}

// unescape restores what the kernel writes as octal numbers.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// at returns where the file is that has the absolute path.
func (m mounts) at(path string) place {
	for point := path; ; point = filepath.Dir(point) {
		if found, ok := m[point]; ok {
			return place{found.device, filepath.Join(found.path, strings.TrimPrefix(path, point))}
		}
		if point == filepath.Dir(point) {
			return place{}
		}
	}
}

// compare returns what a process with those mounts sees of what is seen with these.
func (m mounts) compare(its mounts) (v view) {
	root, ok := m["/"]
	if its["/"] != root || !ok {
		return view{nothing: true}
	}
	for _, points := range []mounts{m, its} {
		for point := range points {
			if m.at(point) != its.at(point) {
				v.different = append(v.different, point)
			}
		}
	}
	v.nothing = len(v.different) > maxDifferent
	return v
}

// has reports whether the process sees the same file at the path.
func (v view) has(path string) bool {
	for _, point := range v.different {
		if relative, err := filepath.Rel(point, path); err == nil && filepath.IsLocal(relative) {
			return false
		}
	}
	return !v.nothing
}
