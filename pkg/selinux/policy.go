package selinux

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
)

// A Mode says what SELinux does on a machine.
type Mode string

// The modes. Absent is that of a machine without SELinux.
const (
	Enforcing  Mode = "enforcing"
	Permissive Mode = "permissive"
	Disabled   Mode = "disabled"
	Absent     Mode = ""
)

// A Reader reads a file of the machine by its absolute name.
type Reader func(name string) ([]byte, error)

// config reads /etc/selinux/config as selinux_getenforcemode and selinux_getpolicytype do.
func config(read Reader) (mode Mode, policy string, err error) {
	text, err := read("/etc/selinux/config")
	if err != nil {
		return Absent, "", err
	}
	// Without a line that says otherwise it is libselinux's default.
	mode, policy = Permissive, "targeted"
	seen := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), " \t")
		if value, ok := strings.CutPrefix(line, "SELINUX="); ok && !seen {
			for _, m := range []Mode{Enforcing, Permissive, Disabled} {
				if len(value) >= len(m) && strings.EqualFold(value[:len(m)], string(m)) {
					mode, seen = m, true
					break
				}
			}
		}
		if value, ok := strings.CutPrefix(line, "SELINUXTYPE="); ok {
			if value = strings.TrimRight(value, " \t"); value != "" {
				policy = value
			}
		}
	}
	return mode, policy, nil
}

// ReadMode says what SELinux does on a machine: the kernel's word where it runs, else what /etc/selinux/config says.
func ReadMode(read Reader) Mode {
	if b, err := read("/sys/fs/selinux/enforce"); err == nil {
		if strings.HasPrefix(string(b), "1") {
			return Enforcing
		}
		return Permissive
	}
	mode, _, _ := config(read)
	return mode
}

// A Policy is what a policy says about the labels of files. It may be used by several goroutines.
type Policy struct {
	// Name is SELINUXTYPE: "targeted", "default".
	Name string

	specs        []*spec // in the order in which they are tried, the last first
	subs, dists  []substitution
	customizable map[string]bool
	compiled     atomic.Int64 // how large the expressions are that were compiled, together
}

// maxFile is how large a file of a policy may be.
const maxFile = 32 << 20

// Load reads the policy that a machine's /etc/selinux/config names. A machine without one gives fs.ErrNotExist; a file that is there
// and cannot be read is another error, as the labels are then not known.
func Load(read Reader) (*Policy, error) {
	_, name, err := config(read)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", "/etc/selinux/config", err)
	}
	if strings.Contains(name, "/") || name == "." || name == ".." {
		return nil, fmt.Errorf("reading /etc/selinux/config: SELINUXTYPE=%q is no name", name)
	}
	dir := "/etc/selinux/" + name + "/contexts/"
	p, err := Open(dir+"files/file_contexts", read)
	if err != nil {
		return nil, err
	}
	p.Name = name
	text, err := read(dir + "customizable_types")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading %q: %w", dir+"customizable_types", err)
	}
	p.customizable = map[string]bool{}
	for line := range strings.Lines(string(text)) {
		p.customizable[strings.TrimSpace(line)] = true
	}
	return p, nil
}

// Open reads a file_contexts and those beside it: .homedirs, .local, .subs and .subs_dist.
func Open(name string, read Reader) (*Policy, error) {
	p := &Policy{}
	for _, suffix := range []string{"", ".homedirs", ".local"} {
		text, err := read(name + suffix)
		switch {
		case err == nil && len(text) > maxFile:
			return nil, fmt.Errorf("reading %q: larger than %d MiB", name+suffix, maxFile>>20)
		case err == nil:
			if err := p.add(text, name+suffix); err != nil {
				return nil, err
			}
		case suffix == "" || !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("reading %q: %w", name+suffix, err)
		}
	}
	p.sort()
	for suffix, into := range map[string]*[]substitution{".subs": &p.subs, ".subs_dist": &p.dists} {
		text, err := read(name + suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading %q: %w", name+suffix, err)
		}
		*into = readSubstitutions(text)
	}
	return p, nil
}

// Customizable reports whether restorecon leaves a type alone unless it is told to force.
func (p *Policy) Customizable(kind string) bool { return p.customizable[kind] }

// TypeOf takes the type out of a context, user:role:type:level; a context that is none gives the empty string.
func TypeOf(context string) string {
	parts := strings.SplitN(strings.TrimRight(context, "\x00\n"), ":", 4)
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}

// A substitution has the labels of one directory for another.
type substitution struct{ from, to string }

func readSubstitutions(text []byte) []substitution {
	var out []substitution
	for line := range strings.Lines(string(text)) {
		w := strings.Fields(line)
		if len(w) < 2 || strings.HasPrefix(w[0], "#") {
			continue
		}
		out = append(out, substitution{w[0], w[1]})
	}
	slices.Reverse(out) // the last line is looked at first
	return out
}

// substitute rewrites the beginning of a path; false: no line is for it.
func substitute(all []substitution, name string) (string, bool) {
	for _, s := range all {
		rest, ok := strings.CutPrefix(name, s.from)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		if s.to == "/" && rest != "" {
			return rest, true
		}
		return s.to + rest, true
	}
	return name, false
}

// key is the path that is looked up for another.
func (p *Policy) key(name string) string {
	name, _ = substitute(p.subs, name)
	name, _ = substitute(p.dists, name)
	return name
}
