"""Programs that do the same task with other libraries; each is run as a file, in its own process.

They run in whichever Python the caller names with --peers-python, so they import nothing of this
package. What they need is imported by name, since none of it belongs to this project.
"""
