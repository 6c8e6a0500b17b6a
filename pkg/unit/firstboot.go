package unit

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// FirstBoot reports whether the next boot of a machine is its first one (machine-id(5), "First Boot Semantics"): a tree with a
// systemd in it and without an /etc/machine-id, or with one that says "uninitialized". systemd then enables what presets
// say, and so every unit of which they say nothing.
func (t *Tree) FirstBoot() bool {
	if t.user {
		return false
	}
	b, err := t.ReadFile("/etc/machine-id")
	if err != nil && !t.lexists("/etc/machine-id") {
		return t.Exists("/usr/lib/systemd/systemd") || t.Exists("/lib/systemd/systemd")
	}
	return err == nil && strings.TrimRight(string(b), "\n") == "uninitialized"
}

// AfterFirstBoot gives the tree as systemd's presets leave it: with the links of systemctl preset-all --preset-mode=enable-only.
func (t *Tree) AfterFirstBoot() *Tree {
	e := enabling{t: t, rules: t.presetRules(), links: map[string]string{}, done: map[string]bool{}}
	seen := map[string]bool{}
	var units []string
	for _, d := range t.dirs {
		for _, n := range t.names(d.path) {
			if !seen[n] && validUnit(n) {
				seen[n] = true
				units = append(units, n)
			}
		}
	}
	slices.Sort(units)
	for _, n := range units {
		f, err := t.Load(n)
		if err != nil || f.Name != n {
			continue
		}
		r, instances := presetFor(e.rules, n)
		if r.preset != PresetEnabled {
			continue
		}
		if instances == nil {
			e.enable(n)
		}
		for _, i := range instances {
			e.enable(ofInstance(n, i))
		}
	}
	out := *t
	out.fsys = overlay{t.fsys, e.links, directoriesOf(e.links)}
	again := newTree(out.fsys, t.places, nil)
	out.dirs, out.aliasesOf, out.listings = again.dirs, again.aliasesOf, again.listings
	return &out
}

// An enabling collects the links that enabling units makes.
type enabling struct {
	t     *Tree
	rules []presetRule
	links map[string]string // without leading slash
	done  map[string]bool
}

// maxEnabled bounds how many units are enabled: instances can name further ones of their template (Also=) without an end.
const maxEnabled = 2000

// enable adds the links of a unit, and of those that it names with Also= (install_context_apply of systemd's install.c).
func (e *enabling) enable(name string) {
	if e.done[name] || !validUnit(name) || len(e.done) >= maxEnabled {
		return
	}
	e.done[name] = true
	f, err := e.t.Load(name)
	if err != nil || f.Masked {
		return
	}
	name = f.Name
	u := e.t.install(f)
	for _, a := range u.also {
		e.enable(a)
	}
	var dir string
	inPath := false
	for _, d := range e.t.places {
		if d.rank == config {
			dir = d.path
		}
		inPath = inPath || d.path == path.Dir(f.Path)
	}
	if !inPath {
		e.add(dir+"/"+name, f.Path)
	}
	for _, a := range u.aliases {
		if _, own, _ := split(name); own != "" && isTemplate(a) {
			a = ofInstance(a, own)
		}
		if aliasFits(a, name) {
			e.add(dir+"/"+a, f.Path)
		}
	}
	link := name
	if isTemplate(name) {
		if u.instance == "" {
			return
		}
		link = ofInstance(name, u.instance)
	}
	for _, w := range u.wanted {
		e.add(dir+"/"+w.by+w.kind+"/"+link, f.Path)
	}
}

// aliasFits reports whether a unit can have that alias: of its type, and a template, an instance or neither as it is itself.
func aliasFits(alias, name string) bool {
	_, of, _ := split(alias)
	_, own, _ := split(name)
	switch {
	case path.Ext(alias) != path.Ext(name) || alias == name:
		return false
	case isTemplate(name):
		return isTemplate(alias) || of != ""
	case own != "":
		return of == own
	}
	return !isTemplate(alias)
}

// add notes a link, unless there is something of its name.
func (e *enabling) add(name, target string) {
	if !e.t.lexists(name) {
		e.links[strings.TrimPrefix(name, "/")] = target
	}
}

// An overlay is a file system with further symbolic links.
type overlay struct {
	fs.FS
	links map[string]string
	dirs  map[string]bool
}

func directoriesOf(links map[string]string) map[string]bool {
	out := map[string]bool{}
	for l := range links {
		for d := path.Dir(l); d != "."; d = path.Dir(d) {
			out[d] = true
		}
	}
	return out
}

// Lstat is that of fs.ReadLinkFS.
func (o overlay) Lstat(name string) (fs.FileInfo, error) {
	if _, ok := o.links[name]; ok {
		return added{path.Base(name), fs.ModeSymlink | 0o777}, nil
	}
	info, err := fs.Lstat(o.FS, name)
	if err != nil && o.dirs[name] {
		return added{path.Base(name), fs.ModeDir | 0o755}, nil
	}
	return info, err
}

// ReadLink is that of fs.ReadLinkFS.
func (o overlay) ReadLink(name string) (string, error) {
	if target, ok := o.links[name]; ok {
		return target, nil
	}
	return fs.ReadLink(o.FS, name)
}

// ReadDir is that of fs.ReadDirFS.
func (o overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.FS, name)
	if err != nil && !o.dirs[name] {
		return entries, err
	}
	have := map[string]bool{}
	for _, e := range entries {
		have[e.Name()] = true
	}
	for _, all := range []map[string]bool{o.dirs, keysOf(o.links)} {
		for _, n := range slices.Sorted(maps.Keys(all)) {
			if base := path.Base(n); path.Dir(n) == name && !have[base] {
				have[base] = true
				info, _ := o.Lstat(n)
				entries = append(entries, fs.FileInfoToDirEntry(info))
			}
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func keysOf(m map[string]string) map[string]bool {
	out := map[string]bool{}
	for k := range m {
		out[k] = true
	}
	return out
}

// Open leaves links out: names are resolved before they are opened.
func (o overlay) Open(name string) (fs.File, error) {
	if _, ok := o.links[name]; ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ELOOP}
	}
	return o.FS.Open(name)
}

// An added describes what an overlay adds.
type added struct {
	name string
	mode fs.FileMode
}

func (a added) Name() string       { return a.name }
func (a added) Size() int64        { return 0 }
func (a added) Mode() fs.FileMode  { return a.mode }
func (a added) ModTime() time.Time { return time.Time{} }
func (a added) IsDir() bool        { return a.mode.IsDir() }
func (a added) Sys() any           { return nil }
