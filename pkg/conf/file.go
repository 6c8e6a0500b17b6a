package conf

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// A File is a configuration file that was read. It keeps every byte, comments included, and does not change: Set gives
// a new one. It may be used by several goroutines.
//
// What stands in it is not kept as a tree, which would be a hundred times as large as a file of nothing but short
// settings: the file remembers where its settings are, and reads one anew when it is asked for.
type File struct {
	name  string
	text  string
	spots []spot
	// byKey has the spots in the order of their keys; those of one key in the order of the file.
	byKey []int32
}

// A spot is where a setting begins. Files have at most [MaxSize] octets.
type spot struct{ start, line int32 }

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

func newFile(name, text string, spots []spot) *File {
	f := &File{name: name, text: text, spots: spots, byKey: make([]int32, len(spots))}
	for i := range f.byKey {
		f.byKey[i] = int32(i)
	}
	slices.SortFunc(f.byKey, func(a, b int32) int {
		return cmp.Or(strings.Compare(f.key(int(a)), f.key(int(b))), cmp.Compare(a, b))
	})
	return f
}

// key is the name of setting i.
func (f *File) key(i int) string {
	start := int(f.spots[i].start)
	return f.text[start : start+nameLength(f.text[start:])]
}

// first is the index of the first setting of that name, -1 if there is none.
func (f *File) first(key string) int {
	at, ok := slices.BinarySearchFunc(f.byKey, key, func(i int32, key string) int { return strings.Compare(f.key(int(i)), key) })
	if !ok {
		return -1
	}
	return int(f.byKey[at])
}

// entry reads setting i.
func (f *File) entry(i int) Entry {
	p := parser{text: f.text, pos: int(f.spots[i].start), line: int(f.spots[i].line)}
	e, err := p.setting()
	if err != nil {
		panic("conf: a file that was read cannot be read: " + err.Error())
	}
	e.Shadowed = f.first(e.Key) != i
	return e
}

// Name is the file's name as it was given to Parse.
func (f *File) Name() string { return f.name }

// Len is the number of settings, shadowed ones included.
func (f *File) Len() int { return len(f.spots) }

// Entries gives all settings in the order of the file.
func (f *File) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for i := range f.spots {
			if !yield(f.entry(i)) {
				return
			}
		}
	}
}

// Lookup finds a setting. Of several with one key it gives the first, the one that libvirt uses (virConfGetValue).
func (f *File) Lookup(key string) (Entry, bool) {
	i := f.first(key)
	if i < 0 {
		return Entry{}, false
	}
	return f.entry(i), true
}

// Marshal gives the file's bytes. They are those that were parsed.
func (f *File) Marshal() []byte { return []byte(f.text) }
