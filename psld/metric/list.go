package metric

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psld/internal/nearest"
	"psld/psld/picture"
)

// Entry is a metric that can be had by name.
type Entry struct {
	Info
	// Open makes the metric. weights is the path of the file that Needs names; metrics that need none leave it unread.
	Open func(weights string) (Metric, error)
	// Bare is the metric without what it needs: its accumulators merge what others have gathered, and take no
	// pictures.
	Bare Metric
}

// List has all metrics: a new one is a file and a line here.
var List = []Entry{
	{psnr.info, ready(psnr), psnr},
	{ssim.info, ready(ssim), ssim},
	lpips("lpips-alex", alexNet),
	lpips("lpips-squeeze", squeezeNet),
	lpips("lpips-vgg", vgg16),
	{fidInfo, openFID, fid{}},
	{kidInfo, openKID, kid{}},
}

// Default are the metrics that need nothing: PSNR and SSIM.
func Default() []Metric { return []Metric{psnr, ssim} }

func ready(m Metric) func(string) (Metric, error) {
	return func(string) (Metric, error) { return m, nil }
}

// Bare finds a metric by name, to merge what it has gathered; see Entry.Bare. An unknown name is an error.
func Bare(name string) (Metric, error) {
	for _, e := range List {
		if e.Name == name {
			return e.Bare, nil
		}
	}
	return nil, fmt.Errorf("unknown metric %q", name)
}

// Missing says that a metric lacks what it needs, and how to get it.
type Missing struct{ Info Info }

// Error implements error.
func (e *Missing) Error() string {
	return fmt.Sprintf("metric %s: n/a, it needs %s", e.Info.Name, e.Info.Needs)
}

// Open makes the metric of that name. weights is the path of the file that it needs, or of a folder with it, as
// several metrics may take different files of one; "" for the one in the cache of torch's hub: a *Missing where that
// has none. An unknown name is an error.
func Open(name, weights string) (Metric, error) {
	var names []string
	for _, e := range List {
		if e.Name == name {
			var err error
			if weights == "" && e.Needs != "" {
				if weights = hub(e.File); weights == "" {
					return nil, &Missing{e.Info}
				}
			} else if weights, err = inFolder(weights, e.File); err != nil {
				return nil, fmt.Errorf("metric %s: %w", name, err)
			}
			return e.Open(weights)
		}
		names = append(names, e.Name)
	}
	return nil, fmt.Errorf("unknown metric %q, want one of %s%s", name, strings.Join(names, ", "), nearest.Hint(name,
		names))
}

// inFolder is the one file of the folder at path whose name begins like that of torch's hub, up to its first hyphen,
// as a safetensors file of another name does: alexnet.safetensors is AlexNet's. A path that is no folder stays as it
// is.
func inFolder(path, file string) (string, error) {
	if info, err := os.Stat(path); file == "" || err != nil || !info.IsDir() {
		return path, nil
	}
	if whole := filepath.Join(path, file); regular(whole) {
		return whole, nil
	}
	stem, _, _ := strings.Cut(file, "-")
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if strings.HasPrefix(e.Name(), stem) && (ext == ".safetensors" || ext == ".pth") && !e.IsDir() {
			found = append(found, e.Name())
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%s has %d files %s*.pth or %s*.safetensors, want one: name it", path, len(found), stem,
			stem)
	}
	return filepath.Join(path, found[0]), nil
}

func regular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// hub is the path of a file in the cache of torch's hub, "" where it is not there.
func hub(file string) string {
	root := os.Getenv("TORCH_HOME")
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		root = filepath.Join(cache, "torch")
	}
	path := filepath.Join(root, "hub", "checkpoints", file)
	if file == "" || !regular(path) {
		return ""
	}
	return path
}

// FlagOf is the flag that names what the metric of that name needs, "" for none.
func FlagOf(name string) string {
	for _, e := range List {
		if e.Name == name {
			return e.Flag
		}
	}
	return ""
}

// NotAvailable stands for a metric that lacks what it needs: it takes pictures, and its result is "n/a".
func NotAvailable(info Info) Metric { return notAvailable{info} }

// Available tells whether a metric has what it needs.
func Available(m Metric) bool {
	_, lacks := m.(notAvailable)
	return !lacks
}

type notAvailable struct{ info Info }

func (m notAvailable) Info() Info       { return m.info }
func (m notAvailable) New() Accumulator { return &nothing{m} }

// nothing gathers nothing.
type nothing struct{ notAvailable }

func (a *nothing) Add(_, _ *picture.Picture) error { return nil }
func (a *nothing) Result() Result                  { return Summary(nil) }
func (a *nothing) MarshalJSON() ([]byte, error)    { return []byte("null"), nil }
func (a *nothing) UnmarshalJSON([]byte) error      { return nil }
func (a *nothing) Merge(other Accumulator) error {
	if b, ok := other.(*nothing); !ok || b.info.Name != a.info.Name {
		return fmt.Errorf("metric: cannot merge another metric into %s", a.info.Title)
	}
	return nil
}

// MaxPSNR is what equal pictures count as in means, in dB: their PSNR is infinite.
const MaxPSNR = 99

// psnr is the peak signal to noise ratio, at most MaxPSNR, of pictures clipped to their range.
var psnr = perPicture{
	Info{Name: "psnr", Title: "PSNR", Unit: "dB", Higher: true, Digits: 2},
	func(restored, truth *picture.Picture) (float64, error) {
		return min(PSNR(Unit(truth.Pix), Unit(restored.Pix), 1), MaxPSNR), nil
	},
}

// ssim is the structural similarity with scikit-image's default window, of pictures clipped to their range.
var ssim = perPicture{
	Info{Name: "ssim", Title: "SSIM", Higher: true, Digits: 4},
	func(restored, truth *picture.Picture) (float64, error) {
		return SSIM(Unit(truth.Pix), Unit(restored.Pix), truth.H, truth.W, 3, 1, Uniform7)
	},
}
