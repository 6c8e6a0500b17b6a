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

// State tells the state of a unit file as systemctl is-enabled does (unit_file_lookup_state of systemd's install.c).
func (t *Tree) State(name string) State {
	at := t.find(name)
	if at == "" || !validUnit(name) {
		return NotFound
	}
	f, err := t.Load(name)
	if err != nil {
		return Bad
	}
	from := t.rank(path.Dir(f.Path))
	switch {
	case f.Masked && (place{rank: from}).volatile():
		return MaskedRuntime
	case f.Masked:
		return Masked
	case f.Name != name && templateOf(f.Name) != templateOf(name):
		return Alias
	case from == generator:
		return Generated
	case from == transient:
		return Transient
	}
	u := t.install(f)
	if s := t.linked(u, true); s != "" {
		return s
	}
	switch {
	case t.linked(u, false) != "":
		return Indirect // it is known by another name, and may be in use
	case u.installs():
		return Disabled
	case len(u.also) > 0:
		return Indirect
	}
	return Static
}

// rank tells what kind of directory of the search path one is.
func (t *Tree) rank(dir string) rank {
	for _, d := range t.places {
		if d.path == dir {
			return d.rank
		}
	}
	return vendor
}

// An installed is what [Install] of a unit says.
type installed struct {
	*File
	aliases, also []string
	wanted        []dependency
	instance      string // DefaultInstance=
}

// A dependency is a unit that is to pull another in: the one of WantedBy=, and the suffix of its directory.
type dependency struct{ by, kind string }

// dependencyKeys are the settings of [Install] that make links in directories.
var dependencyKeys = []struct{ key, kind string }{{"WantedBy", ".wants"}, {"RequiredBy", ".requires"}, {"UpheldBy", ".upholds"}}

// install reads what [Install] says.
func (t *Tree) install(f *File) *installed {
	u := &installed{File: f}
	list := func(key string) (out []string) {
		for _, e := range f.Entries {
			if e.Section != "Install" || e.Key != key {
				continue
			}
			if e.Value == "" && key != "Also" { // that list cannot be emptied
				out = nil
			}
			for _, w := range looseWords(e.Value) {
				out = append(out, f.expand(w))
			}
		}
		return out
	}
	u.aliases, u.also = list("Alias"), list("Also")
	for _, k := range dependencyKeys {
		for _, by := range list(k.key) {
			u.wanted = append(u.wanted, dependency{by, k.kind})
		}
	}
	if e, ok := f.Last("Install", "DefaultInstance"); ok {
		u.instance = f.expand(e.Value)
	}
	return u
}

// installs reports whether enabling makes links.
func (u *installed) installs() bool { return len(u.aliases) > 0 || len(u.wanted) > 0 }

// known reports whether a link of that name is one that enabling would make.
func (u *installed) known(name string) bool {
	return name == u.Name || slices.Contains(u.aliases, name) || u.instance != "" && isTemplate(u.Name) && name == ofInstance(u.Name, u.instance)
}

// linked looks for links that enable a unit, in all of the search path: with strict those that enabling would make, else all. It gives
// the state that they come to, empty where there is none (find_symlinks_in_scope of systemd's install.c).
func (t *Tree) linked(u *installed, strict bool) State {
	inRuntime, somewhere, sameConfig, sameRuntime := false, false, false, false
	below := false // a directory that counts for more has the unit
	for _, d := range t.dirs {
		hit, same := t.linksIn(d, u, strict, below)
		switch {
		case hit && (d.rank == config || d.rank == global):
			return Enabled
		case hit && (d.rank == runtime || d.rank == generator || d.rank == transient):
			inRuntime = true
		case hit:
			somewhere = true
		case same && d.rank == config:
			sameConfig = true
		case same && d.volatile():
			sameRuntime = true
		}
		below = below || path.Dir(u.Path) == d.path
	}
	switch {
	case inRuntime:
		return EnabledRuntime
	case somewhere && templateOf(u.Name) != u.Name:
		return Static
	case sameConfig:
		return Linked
	case sameRuntime:
		return LinkedRuntime
	}
	return ""
}

// linksIn looks into one directory; below says that the unit's file lies in one that counts for more. same reports a link of the
// unit's name to a file of its name.
func (t *Tree) linksIn(d place, u *installed, strict, below bool) (hit, same bool) {
	check := func(in *listing, name string, ignoreTarget bool) bool {
		target := in.targets[name]
		if target == "" {
			return false
		}
		byTarget, byName := false, name == u.Name
		if ignoreTarget {
			byName = byName || isTemplate(u.Name) && templateOf(name) == u.Name
		} else {
			byTarget, byName = path.Base(target) == u.Name, byName && !below
		}
		if byName && byTarget {
			same = true
			return false
		}
		return (byName || byTarget) && (!strict || u.known(name))
	}
	all := t.list(d.path)
	for _, n := range all.names {
		if !isDependencyDir(n) {
			continue
		}
		in := t.list(d.path + "/" + n)
		for _, l := range in.names {
			if check(in, l, true) {
				return true, same
			}
		}
	}
	for _, n := range all.names {
		hit = check(all, n, false) || hit
	}
	return hit, same
}

func isDependencyDir(name string) bool {
	ext := path.Ext(name)
	return ext == ".wants" || ext == ".requires" || ext == ".upholds"
}

// wanting lists the .wants, .requires and .upholds directories in d that have a link to a unit.
func (t *Tree) wanting(d, name string) []string {
	var out []string
	for _, n := range t.list(d).names {
		// The link's name counts, not where it leads.
		if isDependencyDir(n) && t.list(d + "/" + n).targets[name] != "" {
			out = append(out, d+"/"+n)
		}
	}
	return out
}

// WantedBy lists the units that pull a unit in by a link, from all directories of the search path: "sockets.target".
func (t *Tree) WantedBy(name string) []string {
	var out []string
	for _, d := range t.dirs {
		for _, w := range t.wanting(d.path, name) {
			w = path.Base(w)
			w = strings.TrimSuffix(w, path.Ext(w))
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out
}
