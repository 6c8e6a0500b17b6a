package certs_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// runQueryDN runs the real tool on a file with these contents. A status of -6 is SIGABRT.
func runQueryDN(path string, contents []byte) (rc int, out, stderr string, err error) {
	if err := os.WriteFile(path, contents, 0o600); err != nil {
		return 0, "", "", err
	}
	command := exec.Command("virt-pki-query-dn", path)
	command.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	var o, e bytes.Buffer
	command.Stdout, command.Stderr = &o, &e
	var exit *exec.ExitError
	if err := command.Run(); errors.As(err, &exit) {
		if !exit.Exited() {
			return -6, "", "", nil
		}
		rc = exit.ExitCode()
	} else if err != nil {
		return 0, "", "", err
	}
	return rc, o.String(), e.String(), nil
}

// subjects are odd subjects for the real "virt-pki-query-dn", in hexadecimal; the first ones make it abort.
var subjects = []string{"30023100", "300431023000", "300431003100", "3000", "300c310a300806035504030c0161",
	"300e310a300806035504030c01613100", "300e3100310a300806035504030c0161", "300c310a300806035504030c0000",
	"300c310a300806035504031e0061", "300b3109300706035504030c00", "300b31093007060355040613" + "00",
	"300f310d300b06035504030c04c3a92c20", "3010310e300c0603550403140561ff62632c"}

func TestTheInstalledToolPrintsWhatQueryDNGives(t *testing.T) {
	peer.Need(t, "virt-pki-query-dn")
	var files [][]byte
	for _, c := range queryCases(t) {
		if file := c.input(); file != nil {
			files = append(files, file)
		}
	}
	m := mutator{rand.New(rand.NewPCG(6, 6))}
	for _, s := range subjects {
		files = append(files, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: withSubject(unhex(s))}))
	}
	// A directoryName of empty RDNs among the alternative names does not make it abort.
	files = append(files, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: withSubject(unhex("300c310a300806035504030c0161"),
		element(0xa3, element(0x30, element(0x30, unhex("0603551d11"), element(4, unhex("3006a40430023100"))))))}))
	for len(files) < 350 {
		if m.IntN(2) == 0 {
			files = append(files, m.text())
		} else {
			files = append(files, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.certificate()}))
		}
	}
	dir := t.TempDir()
	var wg sync.WaitGroup
	var lock sync.Mutex
	statuses := map[int]int{}
	const workers = 2
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			path := filepath.Join(dir, fmt.Sprintf("cert%d.pem", w))
			for i := w; i < len(files); i += workers {
				wantRC, wantOut, wantErr, err := runQueryDN(path, files[i])
				if err != nil {
					t.Error(err)
					return
				}
				rc, out, stderr := query(files[i])
				if rc != wantRC || out != wantOut || stderr != wantErr {
					t.Errorf("%q:\n got %d %q %q\nwant %d %q %q", files[i], rc, out, stderr, wantRC, wantOut, wantErr)
				}
				lock.Lock()
				statuses[rc]++
				lock.Unlock()
			}
		}()
	}
	wg.Wait()
	t.Log(statuses)
	if statuses[-6] < 3 || statuses[0] < 100 || statuses[1] < 100 {
		t.Errorf("statuses %v: the cases are too tame", statuses)
	}
}

// withSubject is a wholesome certificate with that subject and those extensions.
func withSubject(subject []byte, extensions ...[]byte) []byte {
	algorithm := unhex("300a06082a8648ce3d040302")
	tbs := element(0x30, unhex("a003020102020101"), algorithm, unhex("300c310a300806035504030c0161"),
		unhex("301e170d3234303130313030303030305a170d3334303130313030303030305a"), subject,
		element(0x30, algorithm, unhex("03020004")), slices.Concat(extensions...))
	return element(0x30, tbs, algorithm, unhex("03020000"))
}

func element(tag byte, parts ...[]byte) []byte { return der.Append(nil, tag, slices.Concat(parts...)) }

func FuzzImport(f *testing.F) {
	f.Add(wholesome)
	m := mutator{rand.New(rand.NewPCG(7, 7))}
	for range 20 {
		f.Add(m.certificate())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := certs.Import(text)
		if err != nil {
			return
		}
		_, _ = c.Subject.Text()
		_ = c.SerialHex()
		_, _ = c.X509()
		if again, err := certs.ImportPEM(c.PEM()); err != nil || !bytes.Equal(again.Raw, text) {
			t.Errorf("PEM and back: %v", err)
		}
	})
}

func FuzzImportPEM(f *testing.F) {
	m := mutator{rand.New(rand.NewPCG(8, 8))}
	for range 20 {
		f.Add(m.text())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = certs.QueryDN(text)
		_, err := certs.ImportPEM(text)
		list, listErr := certs.ImportPEMList(text, 16)
		if err == nil && listErr == nil && len(list) == 0 {
			t.Error("a certificate, but an empty list")
		}
	})
}

func BenchmarkQueryDN(b *testing.B) {
	file := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: wholesome})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := certs.QueryDN(file); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkImportAndText(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		c, err := certs.Import(wholesome)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Subject.Text(); err != nil {
			b.Fatal(err)
		}
	}
}
