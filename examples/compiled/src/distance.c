/* A Python extension: the nearest of several points, in C. Built by make in the builder stage. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>

static int numbers(PyObject *sequence, double *into, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        if (item == NULL)
            return -1;
        into[i] = PyFloat_AsDouble(item);
        Py_DECREF(item);
        if (PyErr_Occurred())
            return -1;
    }
    return 0;
}

static PyObject *distance(PyObject *self, PyObject *args)
{
    PyObject *a, *b;
    double x[64], y[64], sum = 0.0;

    if (!PyArg_ParseTuple(args, "OO", &a, &b))
        return NULL;
    Py_ssize_t count = PySequence_Size(a);
    if (count < 0 || count != PySequence_Size(b) || count > 64) {
        PyErr_SetString(PyExc_ValueError, "want two sequences of the same length, at most 64 numbers");
        return NULL;
    }
    if (numbers(a, x, count) < 0 || numbers(b, y, count) < 0)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        sum += (x[i] - y[i]) * (x[i] - y[i]);
    return PyFloat_FromDouble(sqrt(sum));
}

static PyMethodDef methods[] = {
    {"distance", distance, METH_VARARGS, "The Euclidean distance of two points."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "distance", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_distance(void)
{
    return PyModule_Create(&module);
}
