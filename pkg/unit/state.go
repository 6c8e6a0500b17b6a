package unit

import (
	"path"
	"slices"
	"strings"
)

// A State says whether a unit is started by itself, in systemctl is-enabled's words.
type State string

// The states of a unit file that are told apart.
const (
	NotFound       State = "not-found"
	Enabled        State = "enabled"
	EnabledRuntime State = "enabled-runtime" // until the next boot
	Linked         State = "linked"
	LinkedRuntime  State = "linked-runtime"
	Alias          State = "alias"
	Masked         State = "masked"
	MaskedRuntime  State = "masked-runtime"
	Static         State = "static" // has no [Install] section
	Indirect       State = "indirect"
	Disabled       State = "disabled"
	Generated      State = "generated"
	Transient      State = "transient"
	Bad            State = "bad" // cannot be read
)

// On reports whether something starts the unit by itself, be it only until the next boot.
func (s State) On() bool { return s == Enabled || s == EnabledRuntime }

// Off reports whether nothing can start the unit: it is masked.
func (s State) Off() bool { return s == Masked || s == MaskedRuntime }

// State tells the state of a unit file as systemctl is-enabled does.
func (t *Tree) State(name string) State {
	at := t.first(name)
	if at == "" {
		return NotFound
	}
	f, err := t.Load(name)
	if err != nil {
		return Bad
	}
	dir := path.Dir(at)
	runtime := strings.HasPrefix(dir, "/run/")
	switch {
	case f.Masked && runtime:
		return MaskedRuntime
	case f.Masked:
		return Masked
	case f.Name != name:
		return Alias
	case strings.Contains(dir, "/generator"):
		return Generated
	case dir == "/run/systemd/transient":
		return Transient
	}
	enabled, enabledRuntime := t.linked(f)
	switch {
	case enabled:
		return Enabled
	case enabledRuntime:
		return EnabledRuntime
	}
	if target := t.link(at); target != "" && !t.inSearchPath(target, dir) {
		if runtime {
			return LinkedRuntime
		}
		return Linked
	}
	installs, also := false, false
	for _, e := range f.Entries {
		if e.Section == "Install" && e.Value != "" {
			installs = installs || e.Key == "WantedBy" || e.Key == "RequiredBy" || e.Key == "UpheldBy" || e.Key == "Alias"
			also = also || e.Key == "Also"
		}
	}
	switch {
	case installs:
		return Disabled
	case also:
		return Indirect
	}
	return Static
}

// inSearchPath reports whether a link's target lies in a directory of the search path.
func (t *Tree) inSearchPath(target, dir string) bool {
	if !path.IsAbs(target) {
		target = path.Join(dir, target)
	}
	return slices.Contains(searchPath, path.Dir(path.Clean(target)))
}

// linked reports whether a .wants or .requires link of the administrator, or an Alias= of the unit's own, enables it.
func (t *Tree) linked(f *File) (enabled, runtime bool) {
	aliases := map[string]bool{}
	for _, e := range f.List("Install", "Alias") {
		w, _ := words(e.Value, quoting{relaxed: true})
		for _, a := range w {
			aliases[a] = true
		}
	}
	for _, d := range t.dirs {
		etc, run := strings.HasPrefix(d, "/etc/"), strings.HasPrefix(d, "/run/") && !strings.Contains(d, "/generator")
		if !etc && !run {
			continue
		}
		hit := len(t.wanting(d, f.Name)) > 0
		for _, n := range t.names(d) {
			if !hit && aliases[n] {
				target := t.link(d + "/" + n)
				hit = target != "" && path.Base(target) == f.Name
			}
		}
		enabled, runtime = enabled || hit && etc, runtime || hit && run
	}
	return enabled, runtime
}

// wanting lists the .wants and .requires directories in d that have a link to a unit.
func (t *Tree) wanting(d, name string) []string {
	var out []string
	for _, n := range t.names(d) {
		ext := path.Ext(n)
		if ext != ".wants" && ext != ".requires" && ext != ".upholds" {
			continue
		}
		for _, l := range t.names(d + "/" + n) {
			// The link's name counts, not where it leads.
			if l == name && t.link(d+"/"+n+"/"+l) != "" {
				out = append(out, d+"/"+n)
				break
			}
		}
	}
	return out
}

// WantedBy lists the units that pull a unit in by a link, from all directories of the search path: "sockets.target".
func (t *Tree) WantedBy(name string) []string {
	var out []string
	for _, d := range t.dirs {
		for _, w := range t.wanting(d, name) {
			w = path.Base(w)
			w = strings.TrimSuffix(w, path.Ext(w))
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out
}
