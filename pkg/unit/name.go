package unit

import (
	"path"
	"strings"
)

// unitTypes are the kinds of units (systemd.unit(5)).
var unitTypes = []string{".service", ".socket", ".target", ".device", ".mount", ".automount", ".swap", ".timer", ".path", ".slice", ".scope"}

// validUnit reports whether a name can be a unit's.
func validUnit(name string) bool {
	ext := path.Ext(name)
	if len(name) > 255 || len(name) == len(ext) || name[0] == '@' {
		return false
	}
	for _, t := range unitTypes {
		if ext == t {
			return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") == ""
		}
	}
	return false
}

// split cuts a name into what is before the @, the instance, and the type with its dot. A template's instance is empty, and
// so is that of a unit that is none; see isTemplate.
func split(name string) (prefix, instance, ext string) {
	ext = path.Ext(name)
	prefix, instance, _ = strings.Cut(strings.TrimSuffix(name, ext), "@")
	return prefix, instance, ext
}

// isTemplate reports whether a name is a template's: foo@.service.
func isTemplate(name string) bool {
	prefix, instance, ext := split(name)
	return instance == "" && prefix != "" && name == prefix+"@"+ext
}

// templateOf gives the template of an instance, and other names as they are.
func templateOf(name string) string {
	prefix, instance, ext := split(name)
	if instance == "" {
		return name
	}
	return prefix + "@" + ext
}

// ofInstance gives the instance of a template.
func ofInstance(template, instance string) string {
	prefix, _, ext := split(template)
	return prefix + "@" + instance + ext
}

// dropInNames lists the names whose drop-ins a unit takes, those of its aliases and its type left out: its own, its template's, and
// its beginnings up to a dash, of which a template's have no @ (unit_file_find_dirs of systemd's dropin.c).
func dropInNames(name string) []string {
	var out []string
	seen := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		out = append(out, name)
		if t := templateOf(name); t != name {
			add(t)
		}
		prefix, instance, ext := split(name)
		i := strings.LastIndexByte(strings.TrimRight(prefix, "-"), '-')
		if i < 0 {
			return
		}
		prefix = prefix[:i+1]
		if instance != "" {
			prefix += "@" + instance
		}
		add(prefix + ext)
	}
	add(name)
	return out
}

// unescapeName takes back the escaping of unit names: - stands for / and \xNN for a character (systemd-escape(1)).
func unescapeName(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '-':
			out.WriteByte('/')
		case s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' && hex(s[i+2]) >= 0 && hex(s[i+3]) >= 0:
			out.WriteByte(byte(hex(s[i+2])<<4 | hex(s[i+3])))
			i += 3
		default:
			out.WriteByte(s[i])
		}
	}
	return out.String()
}

func hex(c byte) int { return strings.IndexByte("0123456789abcdef", c|0x20) }

// expand puts in the specifiers that do not depend on the running machine (systemd.unit(5), "Specifiers"); others stay.
func (f *File) expand(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	prefix, instance, ext := split(f.Name)
	last := prefix[strings.LastIndexByte(prefix, '-')+1:]
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case '%':
			out.WriteByte('%')
		case 'n':
			out.WriteString(f.Name)
		case 'N':
			out.WriteString(strings.TrimSuffix(f.Name, ext))
		case 'p':
			out.WriteString(prefix)
		case 'P':
			out.WriteString(unescapeName(prefix))
		case 'i':
			out.WriteString(instance)
		case 'I':
			out.WriteString(unescapeName(instance))
		case 'j':
			out.WriteString(last)
		case 'J':
			out.WriteString(unescapeName(last))
		case 'f':
			name := instance
			if name == "" {
				name = prefix
			}
			out.WriteString("/" + strings.TrimPrefix(unescapeName(name), "/"))
		case 'y':
			out.WriteString(f.Path)
		case 'Y':
			out.WriteString(path.Dir(f.Path))
		default:
			if v, ok := f.specifiers[s[i]]; ok {
				out.WriteString(v)
				continue
			}
			out.WriteByte('%')
			out.WriteByte(s[i])
		}
	}
	return out.String()
}
