package templates

import (
	"bytes"
	"embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed *.tmpl
var sources embed.FS

// functions are those that templates may call.
var functions = template.FuncMap{
	"quote": quote,
	"bool":  number,
	"toml":  tomlText,
	"tomls": tomlTexts,
}

// quote writes a string in libvirt's syntax, which has no escapes: double quotes, single quotes where those are inside.
func quote(s string) (string, error) {
	switch {
	case strings.ContainsAny(s, "\x00\r\n"):
		return "", fmt.Errorf("%q holds a line end or a NUL, which no libvirt string on one line can", s)
	case !strings.Contains(s, `"`):
		return `"` + s + `"`, nil
	case !strings.Contains(s, `'`):
		return `'` + s + `'`, nil
	case !strings.Contains(s, `"""`) && !strings.HasSuffix(s, `"`):
		return `"""` + s + `"""`, nil
	}
	return "", fmt.Errorf("no kind of quotes can hold %q: libvirt's strings have no escapes", s)
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Execute fills in the template with that name, "libvirtd.conf.tmpl" for one.
func Execute(name string, data any) ([]byte, error) {
	t, err := template.New(name).Funcs(functions).Option("missingkey=error").ParseFS(sources, name)
	if err != nil {
		return nil, fmt.Errorf("template %q: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("template %q: %w", name, err)
	}
	return b.Bytes(), nil
}
