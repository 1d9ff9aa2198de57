"""What people read: feedback, the class report, and files for Canvas and Moodle."""
