package unit

import (
	"path"
	"strings"
)

// A Condition is a ConditionX= or AssertX= of a unit's [Unit] section, on which it depends whether systemd starts it
// (systemd.unit(5), "Conditions and Asserts").
type Condition struct {
	// Key is the setting: "ConditionPathExists". Value is its value without the marks, specifiers put in.
	Key, Value string
	// Negate says that ! stands before the value. Trigger says that | does: of those that have it one has to hold.
	Negate, Trigger bool
	File            string
	Line            int
}

// Assert reports whether it is an AssertX=: of these a start fails; without what a ConditionX= asks for the unit is left out.
func (c Condition) Assert() bool { return strings.HasPrefix(c.Key, "Assert") }

// String writes the condition as it stands in a unit.
func (c Condition) String() string {
	s := c.Key + "="
	if c.Trigger {
		s += "|"
	}
	if c.Negate {
		s += "!"
	}
	return s + c.Value
}

// A Truth is whether a condition holds.
type Truth int

// Whether a condition holds. Unknown is what only the running machine can tell.
const (
	Unknown Truth = iota
	Holds
	Fails
	broken // cannot be worked out, which fails with ! as without
)

func truth(b bool) Truth {
	if b {
		return Holds
	}
	return Fails
}

func (t Truth) not() Truth {
	switch t {
	case Holds:
		return Fails
	case Fails:
		return Holds
	}
	return Unknown
}

// conditionKinds are the conditions that systemd 252 knows; those with true take the path of a file.
var conditionKinds = map[string]bool{"PathExists": true, "PathExistsGlob": true, "PathIsDirectory": true, "PathIsSymbolicLink": true,
	"PathIsMountPoint": true, "PathIsReadWrite": true, "PathIsEncrypted": true, "DirectoryNotEmpty": true, "FileNotEmpty": true, "FileIsExecutable": true,
	"NeedsUpdate": true, "Architecture": false, "Firmware": false, "Virtualization": false, "Host": false, "KernelCommandLine": false, "KernelVersion": false,
	"Credential": false, "Security": false, "Capability": false, "ACPower": false, "FirstBoot": false, "User": false, "Group": false,
	"ControlGroupController": false, "CPUs": false, "Memory": false, "CPUFeature": false, "OSRelease": false, "Environment": false,
	"MemoryPressure": false, "CPUPressure": false, "IOPressure": false}

// Conditions lists the conditions of a unit, and then its asserts. An empty assignment drops all of the same sort that stand before
// it. What systemd ignores is a Problem.
func (f *File) Conditions() (conditions, asserts []Condition, problems []Problem) {
	for _, e := range f.Entries {
		if e.Section != "Unit" {
			continue
		}
		kind, isCondition := strings.CutPrefix(e.Key, "Condition")
		into := &conditions
		if !isCondition {
			if kind, isCondition = strings.CutPrefix(e.Key, "Assert"); !isCondition {
				continue
			}
			into = &asserts
		}
		isPath, known := conditionKinds[kind]
		if !known {
			continue // of another release
		}
		if e.Value == "" {
			*into = nil
			continue
		}
		c := Condition{Key: e.Key, Value: e.Value, File: e.File, Line: e.Line}
		if v, ok := strings.CutPrefix(c.Value, "|"); ok {
			c.Trigger, c.Value = true, v
			if !isPath {
				c.Value = strings.TrimLeft(v, whitespace)
			}
		}
		if v, ok := strings.CutPrefix(c.Value, "!"); ok {
			c.Negate, c.Value = true, v
			if !isPath {
				c.Value = strings.TrimLeft(v, whitespace)
			}
		}
		c.Value = f.expand(c.Value)
		if isPath {
			switch {
			case !strings.HasPrefix(c.Value, "/"):
				problems = append(problems, Problem{e.File, e.Line, e.Key + "= takes an absolute path"})
				continue
			case strings.Contains(c.Value+"/", "/../"):
				problems = append(problems, Problem{e.File, e.Line, e.Key + "= takes a path without .."})
				continue
			}
			c.Value = path.Clean(c.Value)
		}
		*into = append(*into, c)
	}
	return conditions, asserts, problems
}

// Met works out what a unit's conditions, or its asserts, come to in a tree, and the one that decides: that fails, or that is not
// known. All without | have to hold, and of those with it one.
func (t *Tree) Met(all []Condition) (Truth, *Condition) {
	result, triggers := Holds, false
	var why, trigger *Condition
	triggered := Fails
	for i, c := range all {
		is := t.Holds(c)
		switch {
		case c.Trigger:
			triggers = true
			switch {
			case is == Holds:
				triggered = Holds
			case is == Unknown && triggered == Fails:
				triggered, trigger = Unknown, &all[i]
			case trigger == nil:
				trigger = &all[i]
			}
		case is == Fails && result != Fails, is == Unknown && result == Holds:
			result, why = is, &all[i]
		}
	}
	if !triggers || triggered == Holds || result == Fails {
		return result, why
	}
	if triggered == Fails || result == Holds {
		return triggered, trigger
	}
	return result, why
}

// Holds reports whether a condition holds in a tree: what files say, and of /proc and /sys only those of a running machine.
func (t *Tree) Holds(c Condition) Truth {
	is := t.holds(c)
	switch {
	case is == broken:
		return Fails
	case c.Negate:
		return is.not()
	}
	return is
}

// live reports whether the tree is a running machine's.
func (t *Tree) live() bool { return t.Exists("/proc/sys/kernel/osrelease") }

// volatileDirs hold what comes to be when a machine runs.
var volatileDirs = []string{"/proc", "/sys", "/dev", "/run", "/tmp", "/var/run"}

// kept reports whether a tree of files can tell about a path.
func (t *Tree) kept(name string) bool {
	if t.live() {
		return true
	}
	for _, d := range volatileDirs {
		if name == d || strings.HasPrefix(name, d+"/") {
			return false
		}
	}
	return true
}

func (t *Tree) holds(c Condition) Truth {
	kind := strings.TrimPrefix(strings.TrimPrefix(c.Key, "Condition"), "Assert")
	if conditionKinds[kind] && !t.kept(c.Value) {
		return Unknown
	}
	if t.sparse && (kind == "PathExistsGlob" || kind == "DirectoryNotEmpty" || kind == "FileNotEmpty") {
		return Unknown
	}
	real, info, err := t.resolve(c.Value)
	switch kind {
	case "PathExists":
		return truth(err == nil)
	case "PathExistsGlob":
		return t.anyMatches(c.Value)
	case "PathIsDirectory":
		return truth(err == nil && info.IsDir())
	case "PathIsSymbolicLink":
		return truth(t.link(c.Value) != "")
	case "DirectoryNotEmpty":
		return truth(err == nil && info.IsDir() && t.filled(real))
	case "FileNotEmpty":
		return truth(err == nil && info.Mode().IsRegular() && info.Size() > 0)
	case "FileIsExecutable":
		return truth(err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0)
	case "PathIsMountPoint", "PathIsReadWrite", "PathIsEncrypted":
		if err != nil {
			return Fails // PathIsReadWrite= asks whether the file system is not read-only, of what is there
		}
		return Unknown
	case "Host":
		return t.isHost(c.Value)
	case "FirstBoot":
		b, ok := parseBool(c.Value)
		if !ok {
			return broken
		}
		if t.live() {
			return Unknown // what was so when it was started
		}
		return truth(t.FirstBoot() == b)
	case "OSRelease":
		return t.isRelease(c.Value)
	case "KernelCommandLine":
		return t.hasArgument(c.Value)
	case "User":
		if t.user {
			return Unknown
		}
		return truth(c.Value == "root" || c.Value == "0" || c.Value == "@system")
	case "Security":
		return t.hasSecurity(c.Value)
	}
	return Unknown
}

func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "1", "yes", "y", "true", "t", "on":
		return true, true
	case "0", "no", "n", "false", "f", "off":
		return false, true
	}
	return false, false
}

// filled reports whether a directory has something in it; hidden files do not count.
func (t *Tree) filled(dir string) bool {
	for _, n := range t.names(dir) {
		if !strings.HasPrefix(n, ".") && !strings.HasSuffix(n, "~") {
			return true
		}
	}
	return false
}

// maxGlob bounds in how many directories it is looked for what a pattern names.
const maxGlob = 10_000

// anyMatches reports whether there is something that a pattern with wildcards in any component names. Where links lead to one
// directory by several ways, once is enough; of a pattern that leads through too many it is not known.
func (t *Tree) anyMatches(pattern string) Truth {
	at, looked := []string{"/"}, 0
	for _, part := range strings.Split(strings.Trim(pattern, "/"), "/") {
		var next []string
		seen := map[string]bool{}
		for _, d := range at {
			real, info, err := t.resolve(d)
			if err != nil || !info.IsDir() || seen[real] {
				continue
			}
			seen[real] = true
			if looked++; looked > maxGlob {
				return Unknown
			}
			if !strings.ContainsAny(part, `*?[\`) {
				if name := path.Join(real, part); t.lexists(name) {
					next = append(next, name)
				}
				continue
			}
			for _, n := range t.names(real) {
				if ok, err := path.Match(strings.ReplaceAll(part, "[!", "[^"), n); err == nil && ok && (n[0] != '.' || part[0] == '.') {
					next = append(next, path.Join(real, n))
				}
			}
		}
		at = next
	}
	return truth(len(at) > 0)
}

func (t *Tree) isHost(value string) Truth {
	id, err := t.ReadFile("/etc/machine-id")
	if plain := strings.ReplaceAll(value, "-", ""); len(plain) == 32 && strings.Trim(plain, "0123456789abcdefABCDEF") == "" {
		if err != nil {
			return Unknown
		}
		return truth(strings.EqualFold(strings.TrimSpace(string(id)), plain))
	}
	file := "/etc/hostname"
	if t.live() {
		file = "/proc/sys/kernel/hostname"
	}
	name, err := t.ReadFile(file)
	if err != nil {
		return Unknown
	}
	ok, err := path.Match(strings.ReplaceAll(strings.ToLower(value), "[!", "[^"), strings.ToLower(strings.TrimSpace(string(name))))
	return truth(ok && err == nil)
}

// isRelease compares fields of os-release for equality; versions that are compared are not known here.
func (t *Tree) isRelease(value string) Truth {
	b, err := t.ReadFile("/etc/os-release")
	if err != nil {
		if b, err = t.ReadFile("/usr/lib/os-release"); err != nil {
			return Unknown
		}
	}
	fields := map[string]string{}
	for _, a := range ParseEnvironment(b, "os-release") {
		fields[a.Name] = a.Value
	}
	result := Holds
	for _, w := range looseWords(value) {
		i := strings.IndexAny(w, "=!<>$")
		if i <= 0 || strings.Trim(w[i:], "=!<>$") == "" {
			return broken
		}
		want, equal := strings.CutPrefix(w[i:], "=")
		if !equal || strings.HasPrefix(want, "=") {
			if result == Holds {
				result = Unknown
			}
			continue
		}
		if fields[w[:i]] != want {
			return Fails
		}
	}
	return result
}

// hasArgument looks into the kernel's command line; in a container it is another one that counts.
func (t *Tree) hasArgument(value string) Truth {
	if !t.live() || t.Exists("/run/systemd/container") || t.Exists("/.dockerenv") || t.Exists("/run/.containerenv") {
		return Unknown
	}
	b, err := t.ReadFile("/proc/cmdline")
	if err != nil {
		return Unknown
	}
	for _, w := range looseWords(string(b)) {
		if w == value || !strings.Contains(value, "=") && strings.HasPrefix(w, value+"=") {
			return Holds
		}
	}
	return Fails
}

func (t *Tree) hasSecurity(value string) Truth {
	if !t.live() {
		return Unknown
	}
	switch value {
	case "selinux":
		return truth(t.Exists("/sys/fs/selinux/enforce"))
	case "apparmor":
		b, err := t.ReadFile("/sys/module/apparmor/parameters/enabled")
		return truth(err == nil && strings.HasPrefix(string(b), "Y"))
	case "smack", "tomoyo", "ima", "audit", "uefi-secureboot", "tpm2", "cvm", "measured-uki":
		return Unknown
	}
	return Fails
}
