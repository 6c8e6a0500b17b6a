package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// each runs f total times, jobs at a time.
func each(jobs, total int, f func() error) error {
	next := make(chan struct{}, total)
	for range total {
		next <- struct{}{}
	}
	close(next)
	var group sync.WaitGroup
	errs := make([]error, jobs)
	for i := range jobs {
		group.Go(func() {
			for range next {
				if errs[i] == nil {
					errs[i] = f()
				}
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// BenchmarkManyURIs verifies TLS URIs of one daemon, several at a time, and compares the rate with that of bare clients
// of crypto/tls in the same run: one that leaves after the handshake and the confirmation byte (of-bare), and one that asks
// the daemon the same three questions as ours and looks at nothing (of-same-calls); and with virsh. They take turns, so
// that what else the machine does hits all.
func BenchmarkManyURIs(b *testing.B) {
	peer.Need(b, "libvirtd", "virsh")
	for _, kind := range []string{testpki.RSA2048, testpki.ECDSAP256} {
		for _, jobs := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/jobs=%d", kind, jobs), func(b *testing.B) {
				ca := testpki.NewCA(b, testpki.Key(kind))
				dir := peer.Dir(b)
				testpki.WriteFlat(b, dir, ca, ca.Server("localhost", testpki.Key(kind)), ca.Client("admin", testpki.Key(kind)))
				d := peer.Start(b, peer.Options{Dir: dir}).MustBeReady(b)
				text := d.URIFor("localhost", "pkipath="+dir)
				bare, calling := bareClient(b, dir, d.Port, false), bareClient(b, dir, d.Port, true)
				o := Options{URI: uri.Options{Settings: uri.Fixed{}}, At: time.Now(), Clock: time.Now, Cache: new(Cache)}
				ours := func() error {
					r, err := Dial(context.Background(), text, o)
					if err == nil && r.Outcome != finding.Connected {
						err = errors.New(summary(r))
					}
					return err
				}
				hold := holdOpen(b, dir, d.Port)
				defer hold.Close()
				const round = 200
				clients := []func() error{bare, calling, ours}
				took := make([]time.Duration, len(clients))
				n := 0
				for b.Loop() {
					for _, i := range []int{0, 1, 2, 2, 1, 0} {
						begin := time.Now()
						if err := each(jobs, round/2, clients[i]); err != nil {
							b.Fatal(err)
						}
						took[i] += time.Since(begin)
					}
					n += round
				}
				begin := time.Now()
				if err := each(1, 20, func() error {
					if r := peer.Virsh(b, text); r.Exit != 0 {
						return errors.New(r.String())
					}
					return nil
				}); err != nil {
					b.Fatal(err)
				}
				virsh := time.Since(begin) / 20
				us := took[2].Seconds()
				b.ReportMetric(float64(n)/us, "verify/s")
				b.ReportMetric(took[0].Seconds()/us, "of-bare")
				b.ReportMetric(took[1].Seconds()/us, "of-same-calls")
				b.ReportMetric(virsh.Seconds()/(us/float64(n)), "times-virsh")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// bareClient does a handshake, reads the confirmation byte and closes; calling, it opens before that and says good-bye.
func bareClient(b *testing.B, dir string, port int, calling bool) func() error {
	b.Helper()
	cfg := bareConfig(b, dir)
	return func() error {
		conn, err := dialBare(cfg, port)
		if err != nil {
			return err
		}
		defer conn.Close()
		if calling {
			return callBare(conn)
		}
		return nil
	}
}

func bareConfig(b *testing.B, dir string) *tls.Config {
	b.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "clientcert.pem"), filepath.Join(dir, "clientkey.pem"))
	if err != nil {
		b.Fatal(err)
	}
	roots := x509.NewCertPool()
	text, err := os.ReadFile(filepath.Join(dir, "cacert.pem"))
	if err != nil || !roots.AppendCertsFromPEM(text) {
		b.Fatal(err)
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, ServerName: "localhost"}
}

// dialBare connects and waits for the confirmation byte.
func dialBare(cfg *tls.Config, port int) (net.Conn, error) {
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), cfg)
	if err != nil {
		return nil, err
	}
	var one [1]byte
	if _, err := conn.Read(one[:]); err != nil || one[0] != 1 {
		conn.Close()
		return nil, fmt.Errorf("no confirmation: %v", err)
	}
	return conn, nil
}

// holdOpen keeps the test driver's world in the daemon: it is made for the first of its users and goes with the last, which
// takes longer than all the rest, and is nothing that other drivers do.
func holdOpen(b *testing.B, dir string, port int) io.Closer {
	b.Helper()
	conn, err := dialBare(bareConfig(b, dir), port)
	if err != nil {
		b.Fatal(err)
	}
	c := NewClient(conn, 0)
	if _, err := c.AuthList(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := c.Open(context.Background(), "test:///default", false); err != nil {
		b.Fatal(err)
	}
	return conn
}

// callBare sends AUTH_LIST, CONNECT_OPEN of test:///default and CONNECT_CLOSE, and reads the answers without looking.
func callBare(conn net.Conn) error {
	name := "test:///default"
	var open encoder
	open.optional(&name)
	open.uint32(0)
	for serial, call := range []struct {
		proc int32
		args []byte
	}{{procAuthList, nil}, {procConnectOpen, open.b}, {procConnectClose, nil}} {
		var e encoder
		for _, word := range []uint32{uint32(lengthSize + headerSize + len(call.args)), programRemote, protocolVersion, uint32(call.proc),
			typeCall, uint32(serial), statusOK} {
			e.uint32(word)
		}
		if _, err := conn.Write(append(e.b, call.args...)); err != nil {
			return err
		}
		var length [lengthSize]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return err
		}
		answer := make([]byte, binary.BigEndian.Uint32(length[:])-lengthSize)
		if _, err := io.ReadFull(conn, answer); err != nil || answer[headerSize-1] != statusOK {
			return fmt.Errorf("procedure %d: %v % x", call.proc, err, answer)
		}
	}
	return nil
}

// TestMemoryDoesNotGrowWithTheNumberOfURIs verifies many URIs with one Cache.
func TestMemoryDoesNotGrowWithTheNumberOfURIs(t *testing.T) {
	peer.Need(t, "libvirtd")
	ca := testpki.NewCA(t)
	dir := flat(t, ca, ca.Server("localhost"), ca.Client("admin"))
	text := peer.Start(t, peer.Options{Dir: dir}).MustBeReady(t).URIFor("localhost", "pkipath="+dir)
	o := Options{URI: uri.Options{Settings: uri.Fixed{}}, At: time.Now(), Cache: new(Cache)}
	heap := func() uint64 {
		if err := each(4, 150, func() error {
			r, err := Dial(context.Background(), text, o)
			if err == nil && r.Outcome != finding.Connected {
				err = errors.New(summary(r))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	first := heap()
	heap()
	if last := heap(); last > first+512<<10 {
		t.Errorf("the heap grew from %d to %d bytes with 300 more URIs", first, last)
	}
}
