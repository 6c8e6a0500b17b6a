package conf

import "bytes"

// A File is a configuration file that was read. It keeps every byte, comments included, and does not change: Set gives
// a new one. It may be used by several goroutines.
type File struct {
	name    string
	src     []byte
	entries []Entry
	first   map[string]int
}

// An Entry is one setting as it stands in the file.
type Entry struct {
	Key   string
	Value Value
	// Line is the line on which the key stands, from 1.
	Line int
	// Start and End are the offsets of the setting, from its key to the end of its value.
	Start, End int
	// Comment is the comment behind the value, with its #.
	Comment string
	// Shadowed says that the same key stands further up: libvirt uses the first and ignores this one.
	Shadowed bool
}

func (f *File) index() {
	f.first = make(map[string]int, len(f.entries))
	for i := range f.entries {
		e := &f.entries[i]
		if _, ok := f.first[e.Key]; ok {
			e.Shadowed = true
		} else {
			f.first[e.Key] = i
		}
	}
}

// Name is the file's name as it was given to Parse.
func (f *File) Name() string { return f.name }

// Entries gives all settings in the order of the file. The slice is the caller's.
func (f *File) Entries() []Entry { return append([]Entry(nil), f.entries...) }

// Lookup finds a setting. Of several with one key it gives the first, the one that libvirt uses (virConfGetValue).
func (f *File) Lookup(key string) (Entry, bool) {
	i, ok := f.first[key]
	if !ok {
		return Entry{}, false
	}
	return f.entries[i], true
}

// Settings gives the values that count, by key, in the form that encoding/json writes: int64, string, []any.
func (f *File) Settings() map[string]any {
	m := make(map[string]any, len(f.first))
	for k, i := range f.first {
		m[k] = f.entries[i].Value.JSON()
	}
	return m
}

// Marshal gives the file's bytes. They are those that were parsed.
func (f *File) Marshal() []byte { return bytes.Clone(f.src) }
