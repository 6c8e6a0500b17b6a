package unit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
)

// A Tree is a machine's files, in which units are looked up. Symbolic links are followed inside the tree, as that machine
// would follow them. It may be used by several goroutines.
type Tree struct {
	fsys   fs.FS
	places []place // the search path
	dirs   []place // what of it is there, each directory once
	// specifiers are those that do not depend on the unit; user says that the units are a user's.
	specifiers map[byte]string
	user       bool
	sparse     bool
	// presetRules reads the preset files, and aliasesOf finds the aliases of all names, once.
	presetRules func() []presetRule
	aliasesOf   func() map[string][]string
	// listings are the directories of units that were looked at, by name; a *listing each.
	listings *sync.Map
}

// Sparse gives the tree as one that has only what concerns TLS of a machine: what a condition asks of other files is not known then, unless
// it is whether they are there.
func (t *Tree) Sparse() *Tree {
	out := *t
	out.sparse = true
	return &out
}

// FS gives the files of which it is made.
func (t *Tree) FS() fs.FS { return t.fsys }

// HasUnits reports whether there is a directory of units at all.
func (t *Tree) HasUnits() bool { return len(t.dirs) > 0 }

const (
	maxLinks = 40
	maxFile  = 4 << 20
)

// errLinks is what the system says of too many links.
const errLinks = syscall.ELOOP

// resolve follows the links of an absolute path and gives the path without them.
func (t *Tree) resolve(name string) (string, fs.FileInfo, error) {
	fail := func(err error) (string, fs.FileInfo, error) {
		return "", nil, &fs.PathError{Op: "open", Path: name, Err: cause(err)}
	}
	done, rest, links := "", strings.Trim(path.Clean("/"+name), "/"), 0
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			done = strings.TrimPrefix(path.Dir("/"+done), "/")
			continue
		}
		next := path.Join(done, part)
		info, err := fs.Lstat(t.fsys, next)
		if err != nil {
			return fail(err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return fail(errLinks)
		}
		target, err := fs.ReadLink(t.fsys, next)
		if err != nil {
			return fail(err)
		}
		if strings.HasPrefix(target, "/") {
			done = ""
		}
		rest = strings.Trim(target+"/"+rest, "/")
	}
	info, err := fs.Lstat(t.fsys, cmpOr(done, "."))
	if err != nil {
		return fail(err)
	}
	return "/" + done, info, nil
}

func cmpOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// ReadFile reads a file by its absolute name. Anything but a regular file, and more than 4 MiB, is an error.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	real, info, err := t.resolve(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	f, err := t.fsys.Open(real[1:])
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: cause(err)}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: cause(err)}
	}
	return b, nil
}

// Exists reports whether there is something of that absolute name.
func (t *Tree) Exists(name string) bool {
	_, _, err := t.resolve(name)
	return err == nil
}

// names lists a directory, sorted.
func (t *Tree) names(dir string) []string {
	real, info, err := t.resolve(dir)
	if err != nil || !info.IsDir() {
		return nil
	}
	entries, err := fs.ReadDir(t.fsys, cmpOr(real[1:], "."))
	if err != nil {
		return nil
	}
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.Name()
	}
	sort.Strings(out)
	return out
}

// A listing is what a directory of units holds. It is read once: for each unit all of them are searched.
type listing struct {
	names   []string
	targets map[string]string // of links
	has     map[string]bool
}

// list lists a directory of units; one that is not there is empty.
func (t *Tree) list(dir string) *listing {
	if l, ok := t.listings.Load(dir); ok {
		return l.(*listing)
	}
	names := t.names(dir)
	if len(names) == 0 {
		return &listing{}
	}
	l := &listing{names, map[string]string{}, map[string]bool{}}
	for _, n := range names {
		l.has[n] = true
		if target := t.link(dir + "/" + n); target != "" {
			l.targets[n] = target
		}
	}
	t.listings.Store(dir, l)
	return l
}

// link gives the target of a symbolic link, "" if it is none.
func (t *Tree) link(name string) string {
	dir, _, err := t.resolve(path.Dir(name))
	if err != nil {
		return ""
	}
	target, err := fs.ReadLink(t.fsys, path.Join(dir, path.Base(name))[1:])
	if err != nil {
		return ""
	}
	return target
}

// lexists reports whether there is something of that name, be it a link that leads nowhere.
func (t *Tree) lexists(name string) bool {
	dir, _, err := t.resolve(path.Dir(name))
	if err != nil {
		return false
	}
	_, err = fs.Lstat(t.fsys, path.Join(dir, path.Base(name))[1:])
	return err == nil
}

// A File is a unit with its drop-ins, in the order in which systemd reads them.
type File struct {
	// Name is the unit's own name, which is not the one it was looked up by when that is an alias.
	Name string
	// Path is the unit file, empty if there is none. Masked says that it is a link to /dev/null or empty.
	Path   string
	Masked bool
	// DropIns are the drop-ins that count.
	DropIns  []string
	Entries  []Entry
	Problems []Problem

	specifiers map[byte]string
}

// NotFoundError says that a machine has no such unit.
type NotFoundError struct{ Name string }

func (e *NotFoundError) Error() string { return fmt.Sprintf("there is no unit %q", e.Name) }

// Is makes it fs.ErrNotExist.
func (e *NotFoundError) Is(target error) bool { return target == fs.ErrNotExist }

// Load finds a unit by name and reads it with its drop-ins. A unit that is not there is a *NotFoundError, and so is what cannot be
// a unit's name, as for systemd (unit_name_is_valid).
func (t *Tree) Load(name string) (*File, error) {
	if !validUnit(name) {
		return nil, &NotFoundError{name}
	}
	f := &File{Name: name, specifiers: t.specifiers}
	if err := t.fragment(f); err != nil {
		return nil, err
	}
	if f.Masked {
		return f, nil
	}
	for _, p := range append([]string{f.Path}, t.dropIns(f.Name)...) {
		b, err := t.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", p, cause(err))
		}
		if p != f.Path {
			f.DropIns = append(f.DropIns, p)
		}
		entries, problems := Parse(b, p)
		f.Entries = append(f.Entries, entries...)
		f.Problems = append(f.Problems, problems...)
	}
	return f, nil
}

// fragment finds the unit file: the first of the search path, through links; an instance's is that of its template where it
// has none of its own.
func (t *Tree) fragment(f *File) error {
	looked := f.Name
	for range maxLinks {
		at := t.find(f.Name)
		if at == "" {
			return &NotFoundError{looked}
		}
		f.Path = at
		target := t.link(at)
		if target == "" {
			b, err := t.ReadFile(at)
			if err != nil {
				return fmt.Errorf("reading %q: %w", at, cause(err))
			}
			f.Masked = len(b) == 0
			return nil
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(at), target)
		}
		target = path.Clean(target)
		if target == "/dev/null" {
			f.Masked = true
			return nil
		}
		if base := path.Base(target); base != f.Name && base != path.Base(at) && validUnit(base) {
			if _, instance, _ := split(f.Name); instance != "" && isTemplate(base) {
				base = ofInstance(base, instance)
			}
			f.Name = base // an alias
			if t.find(base) != "" {
				continue
			}
		}
		if path.Base(target) == path.Base(at) && slices.ContainsFunc(t.places, func(p place) bool { return p.path == path.Dir(target) }) {
			return fmt.Errorf("reading %q: %w", at, errLinks) // an alias of itself
		}
		// A linked unit: its file lies outside the search path.
		b, err := t.ReadFile(target)
		if err != nil {
			return fmt.Errorf("reading %q: %w", at, cause(err))
		}
		f.Path, f.Masked = target, len(b) == 0
		return nil
	}
	return fmt.Errorf("reading %q: %w", looked, errLinks)
}

// first gives the file of a name that comes first in the search path.
func (t *Tree) first(name string) string {
	for _, d := range t.dirs {
		if t.list(d.path).has[name] {
			return d.path + "/" + name
		}
	}
	return ""
}

// find gives the file of a unit: its own, else that of its template.
func (t *Tree) find(name string) string {
	if at := t.first(name); at != "" {
		return at
	}
	if template := templateOf(name); template != name {
		return t.first(template)
	}
	return ""
}

// dropIns lists the drop-ins of a unit, those of its aliases, of an instance's template, of its name's beginnings up to a dash,
// and of its type; sorted by file name, of which the first directory's wins (systemd.unit(5)).
func (t *Tree) dropIns(name string) []string {
	var dirs []string
	for _, n := range append([]string{name}, t.aliases(name)...) {
		names := dropInNames(n)
		for _, d := range t.dirs {
			for _, of := range names {
				if t.list(d.path).has[of+".d"] {
					dirs = append(dirs, d.path+"/"+of+".d")
				}
			}
		}
	}
	for _, d := range t.dirs {
		dirs = append(dirs, d.path+"/"+strings.TrimPrefix(path.Ext(name), ".")+".d")
	}
	found := map[string]string{}
	for _, d := range dirs {
		for _, n := range t.names(d) {
			if strings.HasSuffix(n, ".conf") && found[n] == "" {
				found[n] = d + "/" + n
			}
		}
	}
	var out []string
	for _, n := range sortedKeys(found) {
		if t.link(found[n]) == "/dev/null" {
			continue
		}
		if _, info, err := t.resolve(found[n]); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			out = append(out, found[n])
		}
	}
	return out
}

// aliases lists other names of a unit: links in the search path that lead to its name.
func (t *Tree) aliases(name string) []string {
	return slices.DeleteFunc(slices.Clone(t.aliasesOf()[name]), func(n string) bool { return path.Ext(n) != path.Ext(name) })
}

// readAliases lists the aliases of all names. Each unit asks for its own, and there may be very many of both.
func (t *Tree) readAliases() map[string][]string {
	out := map[string][]string{}
	seen := map[string]bool{}
	for _, d := range t.dirs {
		l := t.list(d.path)
		for _, n := range l.names {
			if seen[n] {
				continue // hidden by a directory that counts for more
			}
			seen[n] = true
			if target := path.Base(l.targets[n]); target != "." && target != n {
				out[target] = append(out[target], n)
			}
		}
	}
	return out
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// List gives the values of a setting that is a list: an empty assignment begins it anew.
func (f *File) List(section, key string) []Entry {
	var out []Entry
	for _, e := range f.Entries {
		switch {
		case e.Section != section || e.Key != key:
		case e.Value == "":
			out = nil
		default:
			out = append(out, e)
		}
	}
	return out
}

// Last gives the value of a setting of which the last counts; false: it is not set.
func (f *File) Last(section, key string) (Entry, bool) {
	for i := len(f.Entries) - 1; i >= 0; i-- {
		if e := f.Entries[i]; e.Section == section && e.Key == key {
			return e, true
		}
	}
	return Entry{}, false
}

// Names gives the units that a dependency names ("Wants", "Requires", "BindsTo"). Those cannot be taken back by an empty
// assignment (systemd.unit(5)).
func (f *File) Names(key string) []string {
	var out []string
	for _, e := range f.Entries {
		if e.Section == "Unit" && e.Key == key {
			w, _ := words(e.Value, quoting{relaxed: true})
			out = append(out, w...)
		}
	}
	return out
}
