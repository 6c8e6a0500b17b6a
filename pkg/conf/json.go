package conf

import (
	"bytes"
	"encoding/json"
	"iter"
)

// Values are the settings of a file that count, without those that are shadowed. In JSON they are an object, sorted by
// key. The zero value has none.
type Values struct{ file *File }

// Settings gives the settings that count.
func (f *File) Settings() Values { return Values{f} }

// Len is the number of settings.
func (v Values) Len() int {
	n := 0
	for range v.each() {
		n++
	}
	return n
}

// each gives the index of each setting, in the order of the keys.
func (v Values) each() iter.Seq[int] {
	return func(yield func(int) bool) {
		if v.file == nil {
			return
		}
		last := ""
		for _, i := range v.file.byKey {
			if key := v.file.key(int(i)); key != last {
				last = key
				if !yield(int(i)) {
					return
				}
			}
		}
	}
}

// MarshalJSON gives an object with the values as [Value.MarshalJSON] writes them.
func (v Values) MarshalJSON() ([]byte, error) {
	w := newJSONWriter()
	w.out.WriteByte('{')
	for i := range v.each() {
		e := v.file.entry(i)
		w.comma()
		w.scalar(e.Key)
		w.out.WriteByte(':')
		w.value(e.Value)
	}
	w.out.WriteByte('}')
	return w.out.Bytes(), nil
}

// MarshalJSON gives a number, a string or an array. Of lists in lists in lists those deeper than 1000 are given as the
// text that stands in the file: no reader of JSON follows so far.
func (v Value) MarshalJSON() ([]byte, error) {
	w := newJSONWriter()
	w.value(v)
	return w.out.Bytes(), nil
}

const maxJSONDepth = 1000

// A jsonWriter writes values without building them in memory.
type jsonWriter struct {
	out     *bytes.Buffer
	encoder *json.Encoder
}

func newJSONWriter() jsonWriter {
	w := jsonWriter{out: &bytes.Buffer{}}
	w.encoder = json.NewEncoder(w.out)
	w.encoder.SetEscapeHTML(false)
	return w
}

// comma separates what comes from what is there.
func (w jsonWriter) comma() {
	if b := w.out.Bytes(); len(b) > 0 && bytes.IndexByte([]byte("[{:"), b[len(b)-1]) < 0 {
		w.out.WriteByte(',')
	}
}

// scalar writes a number or a string.
func (w jsonWriter) scalar(v any) {
	_ = w.encoder.Encode(v)         // to memory, of what can be encoded
	w.out.Truncate(w.out.Len() - 1) // without the encoder's newline
}

func (w jsonWriter) value(v Value) {
	open := 0 // lists that were begun
	put := func(depth int, e Value) bool {
		if depth > maxJSONDepth {
			return true
		}
		for ; open < depth; open++ {
			w.comma()
			w.out.WriteByte('[')
		}
		if open > depth { // the list that was begun for its elements
			w.out.WriteByte(']')
			open--
			return true
		}
		w.comma()
		switch {
		case e.Type == Integer:
			w.scalar(e.Int)
		case e.Type == String:
			w.scalar(e.Text)
		case e.Len > 0: // only at maxJSONDepth
			w.scalar(e.file[e.Start:e.End])
		default:
			w.out.WriteString("[]")
		}
		return true
	}
	v.elements(put)
	put(0, v)
}
