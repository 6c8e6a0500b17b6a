package selinux

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

// files reads from a map.
func files(m map[string]string) Reader {
	return func(name string) ([]byte, error) {
		if text, ok := m[name]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
}

func TestTheModeIsTheKernelsElseThatOfTheConfiguration(t *testing.T) {
	const config, kernel = "/etc/selinux/config", "/sys/fs/selinux/enforce"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  Mode
	}{
		{"no SELinux", nil, Absent},
		{"enforcing", map[string]string{config: "# a comment\nSELINUX=enforcing\n"}, Enforcing},
		{"permissive", map[string]string{config: "  SELINUX=permissive\n"}, Permissive},
		{"disabled", map[string]string{config: "SELINUX=Disabled\n"}, Disabled},
		{"the kernel's word", map[string]string{config: "SELINUX=enforcing\n", kernel: "0"}, Permissive},
		{"the kernel enforces", map[string]string{config: "SELINUX=permissive\n", kernel: "1"}, Enforcing},
	} {
		if got := ReadMode(files(c.files)); got != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

func TestThePolicyOfTheConfigurationIsRead(t *testing.T) {
	const dir = "/etc/selinux/mine/contexts/"
	for _, c := range []struct {
		name, path, want, err string
		kind                  fs.FileMode
		files                 map[string]string
	}{
		{name: "the line that fits", path: "/etc/pki/x", want: "u:r:cert_t:s0", files: map[string]string{"": "/etc/pki(/.*)? u:r:cert_t:s0\n"}},
		{name: "no line that fits", path: "/srv/x", files: map[string]string{"": "/etc/pki(/.*)? u:r:cert_t:s0\n"}},
		{name: "the last of several", path: "/etc/pki/x", want: "u:r:b_t:s0", files: map[string]string{"": "/etc/pki(/.*)? u:r:a_t:s0\n/etc/.* u:r:b_t:s0\n"}},
		{name: "a name before expressions", path: "/etc/pki", want: "u:r:a_t:s0", files: map[string]string{"": "/etc/pki u:r:a_t:s0\n/etc/.* u:r:b_t:s0\n"}},
		{name: "one for directories", path: "/etc/pki", kind: fs.ModeDir, want: "u:r:d_t:s0", files: map[string]string{"": "/etc/pki u:r:a_t:s0\n/etc/pki -d u:r:d_t:s0\n"}},
		{name: "one for directories, of a file", path: "/etc/pki", want: "u:r:a_t:s0", files: map[string]string{"": "/etc/pki u:r:a_t:s0\n/etc/pki -d u:r:d_t:s0\n"}},
		{name: "the administrator's", path: "/srv/pki/x", want: "u:r:cert_t:s0", files: map[string]string{"": "/.* u:r:default_t:s0\n", ".local": "/srv/pki(/.*)? u:r:cert_t:s0\n"}},
		{name: "of homes", path: "/root/.pki/x", want: "u:r:h_t:s0", files: map[string]string{"": "", ".homedirs": "/root/\\.pki(/.*)? u:r:h_t:s0\n"}},
		{name: "none", path: "/etc/pki/x", files: map[string]string{"": "/etc/.* u:r:a_t:s0\n/etc/pki(/.*)? <<none>>\n"}},
		{name: "a directory that has the labels of another", path: "/srv/x", want: "u:r:cert_t:s0", files: map[string]string{"": "/etc/pki(/.*)? u:r:cert_t:s0\n",
			".subs": "# x\n/srv /etc/pki\n"}},
		{name: "both kinds of substitutions", path: "/srv/x", want: "u:r:cert_t:s0", files: map[string]string{"": "/etc/pki(/.*)? u:r:cert_t:s0\n", ".subs": "/srv /opt\n",
			".subs_dist": "/opt /etc/pki\n"}},
		{name: "an expression that is not understood", path: "/etc/pki/x", files: map[string]string{"": "/etc/pki/(?!y).* u:r:a_t:s0\n"},
			err: `the label of "/etc/pki/x" depends on the expression "/etc/pki/(?!y).*" (/etc/selinux/mine/contexts/files/file_contexts:1), which is not understood: ` +
				"error parsing regexp: invalid or unsupported Perl syntax: `(?!`"},
		{name: "one that is for others", path: "/etc/pki/x", want: "u:r:cert_t:s0", files: map[string]string{"": "/etc/pki/x u:r:cert_t:s0\n/srv/(?!y).* u:r:a_t:s0\n"}},
		{name: "a line without a context", path: "/x", files: map[string]string{"": "/x\n"}, err: "/etc/selinux/mine/contexts/files/file_contexts:1: a line has an expression and a context"},
		{name: "a type that is none", path: "/x", files: map[string]string{"": "/x -x u:r:a_t:s0\n"}, err: `/etc/selinux/mine/contexts/files/file_contexts:1: "-x" is no type of file`},
		{name: "letters that are not ASCII", path: "/x", files: map[string]string{"": "/é u:r:a_t:s0\n"},
			err: "/etc/selinux/mine/contexts/files/file_contexts:1: there are characters that are not ASCII"},
		{name: "no file_contexts", path: "/x", files: map[string]string{".local": ""},
			err: `reading "/etc/selinux/mine/contexts/files/file_contexts": open /etc/selinux/mine/contexts/files/file_contexts: file does not exist`},
	} {
		m := map[string]string{"/etc/selinux/config": "SELINUXTYPE=mine\n"}
		for suffix, text := range c.files {
			m[dir+"files/file_contexts"+suffix] = text
		}
		got := ""
		p, err := Load(files(m))
		if err == nil {
			got, err = p.Label(c.path, c.kind)
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != c.want || text != c.err {
			t.Errorf("%s: %q, %q", c.name, got, text)
		}
	}
	if _, err := Load(files(nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a configuration: %v", err)
	}
	if _, err := Load(files(map[string]string{"/etc/selinux/config": "SELINUXTYPE=../x\n"})); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name with slashes: %v", err)
	}
}

// A policy of a stranger's tree may be large, and each of its lines larger.
func TestHostilePoliciesEnd(t *testing.T) {
	p, err := Open("/fc", files(map[string]string{"/fc": strings.Repeat(".{1000} u:r:a_t:s0\n", 20_000),
		"/fc.subs": strings.Repeat("/a /b\n", 200_000) + "/srv /opt\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.key("/srv/x"); got != "/opt/x" {
		t.Errorf("/srv/x is looked up as %s", got)
	}
	_, err = p.Label("/x", 0)
	var u *UnjudgedError
	if !errors.As(err, &u) || u.Err.Error() != "the expressions of the policy are too large" {
		t.Error(err)
	}
	if n := p.compiled.Load(); n > 2*maxCompiled {
		t.Errorf("%d compiled", n)
	}
}

// Without a file that is there the label of a path could be another one.
func TestAFileThatCannotBeReadIsAnError(t *testing.T) {
	const dir = "/etc/selinux/targeted/contexts/"
	m := map[string]string{"/etc/selinux/config": "", dir + "files/file_contexts": "/x u:r:a_t:s0\n", dir + "files/file_contexts.local": "",
		dir + "files/file_contexts.homedirs": "", dir + "files/file_contexts.subs": "", dir + "files/file_contexts.subs_dist": "", dir + "customizable_types": ""}
	if _, err := Load(files(m)); err != nil {
		t.Fatal(err)
	}
	for closed := range m {
		_, err := Load(func(name string) ([]byte, error) {
			if name == closed {
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
			}
			return files(m)(name)
		})
		want := fmt.Sprintf("reading %q: open %s: permission denied", closed, closed)
		if err == nil || err.Error() != want || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v, not %s", err, want)
		}
	}
}

func TestTypesOfContexts(t *testing.T) {
	for context, want := range map[string]string{"system_u:object_r:cert_t:s0\x00": "cert_t", "a:b:c": "c", "a:b:c:s0-s0:c0.c1023": "c", "a:b": "", "": ""} {
		if got := TypeOf(context); got != want {
			t.Errorf("%q: %q", context, got)
		}
	}
}

func FuzzLabel(f *testing.F) {
	f.Add("/etc/pki(/.*)?\t--\tu:r:cert_t:s0\n/etc/x <<none>>\n", "/srv /etc/pki\n", "/etc/pki/x")
	f.Add("/a|/b u:r:t:s0\n/(?!x) u:r:t\n/[ u:r:t\n", "/ /a", "//a//")
	f.Fuzz(func(t *testing.T, contexts, subs, name string) {
		p, err := Open("/fc", files(map[string]string{"/fc": contexts, "/fc.subs": subs, "/fc.subs_dist": subs}))
		if err != nil {
			return
		}
		for _, mode := range []fs.FileMode{0, fs.ModeDir} {
			label, err := p.Label(name, mode)
			if label != "" && (err != nil || !strings.Contains(contexts, label)) {
				t.Errorf("%q, %v", label, err)
			}
		}
	})
}
