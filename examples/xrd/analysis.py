"""Mean counts in a corner, and by distance from the beam, for each image of a scan.

    python detector.py xrd.cbors
    pipert2 replay -w analysis:Worker -r analysis:Reducer -f xrd.cbors

It writes output/xrd_processed.h5 (pip install "pipert2[hdf5]"). Where azint is installed, a package of conda, it
integrates; else NumPy does.
"""

import numpy as np

from pipert2.patterns.map_reduce.parameters import IntParameter
from pipert2.patterns.results.result_file import ResultFile
from pipert2.patterns.streams import stins

try:
    import azint
except ModuleNotFoundError:
    azint = None

BINS = 16


class Rings:
    """Mean counts by scattering vector, with the solid angle of each pixel: azimuthal integration.

    Lengths are in pixels, the wavelength in angstrom. Each pixel is shared out in quarters of its sides, as the package
    azint does it.
    """

    def __init__(self, size, distance=60.0, wavelength=1.0, parts=4):
        def scattering(y, x):
            angle = np.arctan(np.hypot(y - size / 2, x - size / 2) / distance)
            return 4 * np.pi / wavelength * np.sin(angle / 2), np.cos(angle) ** 3

        rows, columns = np.indices((size, size))
        middle, self.solid_angle = scattering(rows + 0.5, columns + 0.5)
        edges = np.linspace(middle.min(), middle.max(), BINS + 1)
        self.axis = (edges[1:] + edges[:-1]) / 2
        self.weights = np.zeros((BINS, size * size))
        for y, x in np.ndindex(parts, parts):
            where, _ = scattering(rows + (y + 0.5) / parts, columns + (x + 0.5) / parts)
            ring = np.floor((where - edges[0]) / (edges[-1] - edges[0]) * BINS).astype(int).ravel()
            inside = np.flatnonzero((ring >= 0) & (ring < BINS))
            np.add.at(self.weights, (ring[inside], inside), 1)

    def integrate(self, image):
        return self.weights @ (image / self.solid_angle).ravel() / self.weights.sum(axis=1)


class Azint:
    """The same by azint."""

    def __init__(self, size, distance=60.0, wavelength=1.0, parts=4, pixel=75e-6):
        detector = azint.detector.Detector(pixel, pixel, (size, size))
        middle = size / 2 * pixel
        poni = azint.Poni(detector, distance * pixel, middle, middle, 0, 0, 0, wavelength * 1e-10)
        self.integrator = azint.AzimuthalIntegrator(poni, parts, BINS, unit="q", solid_angle=True)
        self.axis = self.integrator.radial_axis

    def integrate(self, image):
        curve, *_ = self.integrator.integrate(image)
        return curve


class Worker:
    def __init__(self):
        self.rings = Azint(64) if azint else Rings(64)

    @staticmethod
    def describe_parameters():
        return [IntParameter("till_x", 8, "rows of the corner"), IntParameter("from_y", 56, "its first column")]

    def process_event(self, event, till_x, from_y):
        message = stins.parse(event["xrd"])
        if isinstance(message, stins.StinsStart):
            return message.filename, self.rings.axis
        if isinstance(message, stins.StinsData):
            return message.data[:till_x, from_y:].mean(), self.rings.integrate(message.data)
        return None


class Reducer:
    def __init__(self):
        self.results = None
        self.publish = {}

    def process_result(self, result, till_x, from_y):
        first, second = result.payload
        if isinstance(first, str):
            rows = {"corner": "f4", "curve": ("f4", (BINS,))}
            constants = {"axis": second, "till_x": till_x, "from_y": from_y}
            self.results = self.results or ResultFile(first, rows, constants)
            self.publish["axis"] = second
        else:
            self.results.put("corner", result.event_number, first)
            self.results.put("curve", result.event_number, second)
            self.publish["curve"] = second

    def finish(self):
        corner, curve = (self.results.values(name)[1:] for name in ("corner", "curve"))
        self.results.close()
        brightest = self.publish["axis"][np.argmax(curve[-1])]
        print(f"{len(corner)} images, {corner.mean():.2f} counts in the corner, brightest ring at {brightest:.2f}/A")
